"""Forms that start jobs. They build the body of an API call, which `jobs.start` validates."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.contrib.auth.models import User
from django.forms.renderers import get_default_renderer
from drf_standardized_errors.formatter import flatten_errors
from rest_framework.exceptions import APIException, ValidationError

from aiworkstation import strict_json
from aiworkstation.ids import uuid7
from aiworkstation.web.form_fields import Choice, Line
from documents.labels import ModeFormMixin
from documents.pages.chunk_sizes import ChunkSizesForm
from jobs.idempotency import MAX_KEY, KeyReused, start_once
from jobs.types.workflow import MAX_STEPS
from workflows import tools
from workflows.models import Mode, WorkflowExecution

EMPTY_ROWS = 5
Body = dict[str, Any]


def tool_choices() -> list[tuple[str, str]]:
    return [("", "Model"), *((tool.slug, tool.slug) for tool in tools.offered_tools())]


class JsonText(Line):
    """A JSON object. Empty text is None."""

    widget = forms.Textarea

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            found = strict_json.loads(text) if text.strip() else None
        except strict_json.BadJson as error:
            raise forms.ValidationError(f"This is not valid JSON: {error}") from error
        if found is not None and not isinstance(found, dict):
            raise forms.ValidationError('Enter a JSON object, such as {"name": "value"}.')
        return found


def form_key() -> Line:
    """The idempotency key of a form that starts a job: two clicks start one."""
    return Line(widget=forms.HiddenInput, required=False, max_length=MAX_KEY, initial=uuid7)


class WorkflowForm(ModeFormMixin, forms.Form):
    name = Line(label="Name", required=False, max_length=300)
    description = Line(label="Purpose", required=False, widget=forms.Textarea({"rows": 2}))
    mode = Choice(required=False, initial=Mode.DEFAULT)
    model_id = Line(
        label="Model",
        required=False,
        help_text="Empty: the model of the mode, or the server's default.",
    )
    key = form_key()

    FIELD_OF_KEY = {
        "workflowName": "name",
        "workflowDescription": "description",
        "mode": "mode",
        "modelId": "model_id",
    }

    def payload(self) -> Body:
        return {
            name: self.cleaned_data[field]
            for name, field in self.FIELD_OF_KEY.items()
            if field == "name" or self.cleaned_data[field]
        }


class StepForm(forms.Form):
    name = Line(label="Step", required=False, max_length=300)
    description = Line(label="Instructions", required=False, widget=forms.Textarea({"rows": 2}))
    tool = Choice(choices=tool_choices, required=False)
    arguments = JsonText(required=False, widget=forms.Textarea({"rows": 2, "placeholder": "{}"}))

    def payload(self) -> Body:
        return {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}


if TYPE_CHECKING:
    StepFormSet = forms.BaseFormSet[StepForm]
else:
    StepFormSet = forms.BaseFormSet


class WorkflowSteps(StepFormSet):
    """The steps of a workflow's form. The attributes are those of `formset_factory`, declared for the type checker."""

    form = StepForm
    renderer = get_default_renderer()
    extra = 0
    min_num = EMPTY_ROWS
    max_num = absolute_max = MAX_STEPS
    can_order = can_delete = can_delete_extra = False
    validate_max = True
    validate_min = False
    edit_only = False
    default_error_messages = {
        "missing_management_form": "The form arrived incomplete. Reload the page and try again.",
        "too_many_forms": f"At most {MAX_STEPS} steps are allowed.",
    }

    @property
    def filled(self) -> list[StepForm]:
        """Rows in which nothing was entered are no steps."""
        return [form for form in self.forms if form.has_changed()]

    def payload(self) -> list[Body]:
        return [form.payload() for form in self.filled]

    def with_another_row(self) -> "WorkflowSteps":
        """Returns the steps as entered, not validated, and an empty row."""
        entered = [{name: form[name].value() for name in form.fields} for form in self.forms]
        return WorkflowSteps(prefix=self.prefix, initial=[*entered, {}])


class PasteForm(forms.Form):
    """The body of an API call, or only a workflow's payload."""

    body = JsonText(
        label="JSON",
        widget=forms.Textarea({"rows": 16, "spellcheck": "false"}),
        error_messages={"required": "Paste the JSON of a job."},
    )
    key = form_key()

    def job_body(self) -> Body:
        body: Body = self.cleaned_data["body"]
        return body if "jobType" in body else workflow_body(body)


class IngestForm(ChunkSizesForm):
    """The chunk size and overlap for indexing."""

    def job_body(self, documents: Iterable[str]) -> Body:
        """`documents` are ids. Documents that are indexed already are indexed again."""
        payload: Body = {"documents": [{"id": id} for id in documents]}
        sizes = {"chunkSize": self.cleaned_data["chunk_size"], "overlap": self.cleaned_data["overlap"]}
        return bulk_documents_body(payload | sizes)


def bulk_documents_body(payload: Body) -> Body:
    return {"jobType": "bulk-documents", "payload": payload}


def workflow_body(payload: Body) -> Body:
    return {"jobType": "workflow", "payload": payload}


def place_errors(error: ValidationError, form: WorkflowForm, steps: WorkflowSteps) -> None:
    """Puts each error of the API beside its field, and other errors at the top of the form."""
    for found in flatten_errors(error.detail):
        is_missing = found.code in ("required", "blank")
        match (found.attr or "").split("."):
            case ["payload", "workflowName"] if is_missing:
                form.add_error("name", "Enter a name for the job.")
            case ["payload", name] if name in form.FIELD_OF_KEY:
                form.add_error(form.FIELD_OF_KEY[name], found.detail)
            case ["payload", "steps", number, "name"] if is_missing:
                steps.filled[int(number)].add_error("name", "Enter a name for the step.")
            case ["payload", "steps", number, "arguments", *path] if path:
                steps.filled[int(number)].add_error("arguments", f"{'.'.join(path)}: {found.detail}")
            case ["payload", "steps", number, name, *_] if name in StepForm.base_fields:
                steps.filled[int(number)].add_error(name, found.detail)
            case ["payload", "steps", number, *_]:
                steps.filled[int(number)].add_error(None, found.detail)
            case _:
                form.add_error(None, found.detail)


def start_once_from_form(user: User, key: str, request: Any, start: Callable[[], UUID]) -> WorkflowExecution:
    """Two clicks on the button of a form start one job. `key` is the form's, `request` what was entered.

    If the form was changed after it had started a job, this is no second click: another job starts.
    """
    try:
        return start_once(user, key, request, start)[0]
    except KeyReused:
        return start_once(user, "", request, start)[0]


def error_lines(error: APIException) -> list[str]:
    """Returns the errors of a body as lines of text."""
    return [f"{found.attr}: {found.detail}" if found.attr else found.detail for found in flatten_errors(error.detail)]
