"""Forms that start jobs. They say what was typed; whether it makes a job is judged where the API's bodies are."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django import forms
from django.forms.renderers import get_default_renderer
from drf_standardized_errors.formatter import flatten_errors
from rest_framework.exceptions import APIException, ValidationError

from aiworkstation.ids import uuid7
from documents.labels import mode_choices
from workflows import tools
from workflows.models import Mode

ROWS = 5
MAX_STEPS = 200
Body = dict[str, Any]


def tool_choices() -> list[tuple[str, str]]:
    return [("", "Model"), *((tool.slug, tool.slug) for tool in tools.all_tools())]


class JsonText(forms.CharField):
    """A JSON object, or nothing."""

    widget = forms.Textarea

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            found = json.loads(text) if text.strip() else None
        except ValueError as error:
            raise forms.ValidationError(f"This is not JSON: {error}") from error
        if found is not None and not isinstance(found, dict):
            raise forms.ValidationError('Write a JSON object: {"name": "value"}.')
        return found


class WorkflowForm(forms.Form):
    """`key` makes two clicks one job."""

    name = forms.CharField(label="Name", required=False, max_length=300)
    description = forms.CharField(label="What it is for", required=False, widget=forms.Textarea({"rows": 2}))
    mode = forms.ChoiceField(choices=mode_choices, required=False, initial=Mode.DEFAULT)
    model_id = forms.CharField(label="Model", required=False, help_text="Empty: the mode's own, or the server's.")
    key = forms.CharField(widget=forms.HiddenInput, required=False, initial=uuid7)

    ATTRIBUTES = {
        "workflowName": "name",
        "workflowDescription": "description",
        "mode": "mode",
        "modelId": "model_id",
    }

    def payload(self) -> Body:
        return {
            name: self.cleaned_data[field]
            for name, field in self.ATTRIBUTES.items()
            if field == "name" or self.cleaned_data[field]
        }


class StepForm(forms.Form):
    name = forms.CharField(label="Step", required=False, max_length=300)
    description = forms.CharField(label="What to do", required=False, widget=forms.Textarea({"rows": 2}))
    tool = forms.ChoiceField(choices=tool_choices, required=False)
    arguments = JsonText(required=False, widget=forms.Textarea({"rows": 2, "placeholder": "{}"}))

    def payload(self) -> Body:
        return {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}


if TYPE_CHECKING:
    StepFormSet = forms.BaseFormSet[StepForm]
else:
    StepFormSet = forms.BaseFormSet


class WorkflowSteps(StepFormSet):
    """The rows of a workflow's form; `formset_factory`'s attributes stand here for the type checker."""

    form = StepForm
    renderer = get_default_renderer()
    extra = 0
    min_num = ROWS
    max_num = absolute_max = MAX_STEPS
    can_order = can_delete = can_delete_extra = False
    validate_max = True
    validate_min = False
    edit_only = False

    @property
    def filled(self) -> list[StepForm]:
        """A row in which nothing was written is no step."""
        return [form for form in self.forms if form.has_changed()]

    def payload(self) -> list[Body]:
        return [form.payload() for form in self.filled]

    def longer(self) -> "WorkflowSteps":
        """What was typed, with another row, and not judged yet."""
        typed = [{name: form[name].value() for name in form.fields} for form in self.forms]
        return WorkflowSteps(prefix=self.prefix, initial=[*typed, {}])


class PasteForm(forms.Form):
    """The body of an API call, or a workflow's payload alone."""

    body = JsonText(label="JSON", widget=forms.Textarea({"rows": 16, "spellcheck": "false"}))

    def request(self) -> Body:
        body: Body = self.cleaned_data["body"]
        return body if "jobType" in body else workflow(body)


class IngestForm(forms.Form):
    """How documents are to be read. Without a size and an overlap as the API does unless told."""

    chunk_size = forms.IntegerField(required=False)
    overlap = forms.IntegerField(required=False)

    def request(self, documents: Iterable[str]) -> Body:
        """Documents that were ticked. What was indexed before is read again."""
        payload: Body = {"documents": [{"id": id} for id in documents]}
        chosen = {"chunkSize": self.cleaned_data["chunk_size"], "overlap": self.cleaned_data["overlap"]}
        return bulk(payload | {name: value for name, value in chosen.items() if value is not None})


def bulk(payload: Body) -> Body:
    return {"jobType": "bulk-documents", "payload": payload}


def workflow(payload: Body) -> Body:
    return {"jobType": "workflow", "payload": payload}


def place_errors(error: ValidationError, form: WorkflowForm, steps: WorkflowSteps) -> None:
    """Puts each error of the API beside the field that it is about, the rest at the head of the form."""
    for found in flatten_errors(error.detail):
        match (found.attr or "").split("."):
            case ["payload", name] if name in form.ATTRIBUTES:
                form.add_error(form.ATTRIBUTES[name], found.detail)
            case ["payload", "steps", number, name, *_] if name in StepForm.base_fields:
                steps.filled[int(number)].add_error(name, found.detail)
            case ["payload", "steps", number, *_]:
                steps.filled[int(number)].add_error(None, found.detail)
            case _:
                form.add_error(None, found.detail)


def listed(error: APIException) -> list[str]:
    """The errors of a body as lines."""
    return [f"{found.attr}: {found.detail}" if found.attr else found.detail for found in flatten_errors(error.detail)]
