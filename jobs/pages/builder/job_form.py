"""The fields of the builder for the whole job."""

from typing import Any

from django import forms
from django.contrib.auth.models import User

from aiworkstation.web.form_fields import Line, Paragraph
from documents.labels import mode_choices, split_tags
from jobs.pages.builder.choices import with_unknown
from jobs.pages.builder.step_form import Json, number_or_text
from jobs.pages.forms import form_key
from workflows.models import Mode, Queue

PAYLOAD_FIELDS = {
    "workflowName": "name",
    "workflowDescription": "description",
    "mode": "mode",
    "modelId": "model_id",
    "projectId": "project",
    "tags": "tags",
}
OPTION_FIELDS = {"priority": "priority", "maxParallel": "parallel", "delaySeconds": "delay"}
"""The fields by the keys of the API, in the payload and beside it."""
PRIORITIES = [("", "Default (normal)"), *((queue.value, queue.label) for queue in Queue)]


class JobForm(forms.Form):
    use_required_attribute = False

    name = Line(label="Name", required=False)
    description = Paragraph(label="Purpose", required=False)
    mode = forms.CharField(label="Mode", required=False, initial=Mode.DEFAULT)
    model_id = Line(label="Model", required=False, help_text="Empty: the model of the mode, or the server's default.")
    project = Line(label="Project", required=False)
    tags = Line(label="Tags", required=False, help_text="Separated by commas.")
    priority = forms.CharField(label="Priority", required=False)
    parallel = Line(label="Steps at once", required=False, help_text="1 to 200. Default: 5.")
    delay = Line(label="Start after (seconds)", required=False, help_text="At most 30 days. Default: at once.")
    key = form_key()

    def __init__(self, user: User, data: Any = None, *, initial: Json | None = None) -> None:
        super().__init__(data, initial=initial)
        for name, choices in (("mode", mode_choices(user)), ("priority", PRIORITIES)):
            self.fields[name].widget = forms.Select(choices=with_unknown(choices, self[name].value() or ""))

    @property
    def is_ordinary(self) -> bool:
        """Whether the page may hide the options."""
        names = ("project", "tags", *OPTION_FIELDS.values())
        return not any(self[name].value() or self.errors.get(name) for name in names)

    def entered(self) -> dict[str, Any]:
        return {name: self[name].value() for name in self.fields}

    def payload(self) -> Json:
        """Returns the payload without its steps. The form must be valid."""
        found = {key: self.cleaned_data[field] for key, field in PAYLOAD_FIELDS.items()}
        found["tags"] = split_tags([found["tags"]])
        return {key: value for key, value in found.items() if value or key == "workflowName"}

    def options(self) -> Json:
        entered = self.cleaned_data
        numbers = {key: number_or_text(entered[OPTION_FIELDS[key]]) for key in ("maxParallel", "delaySeconds")}
        return {key: value for key, value in ({"priority": entered["priority"]} | numbers).items() if value != ""}

    def place_error(self, path: list[str], detail: str, *, is_missing: bool) -> None:
        match path:
            case ["payload", "workflowName"] if is_missing:
                self.add_error("name", "Enter a name for the job.")
            case ["payload", key, *_] if key in PAYLOAD_FIELDS:
                self.add_error(PAYLOAD_FIELDS[key], detail)
            case [key] if key in OPTION_FIELDS:
                self.add_error(OPTION_FIELDS[key], detail)
            case _:
                self.add_error(None, detail)


def job_texts(body: Json, payload: Json) -> dict[str, Any]:
    """Returns the initial values of the form."""
    texts = {field: payload[key] for key, field in PAYLOAD_FIELDS.items() if key in payload}
    texts |= {field: body[key] for key, field in OPTION_FIELDS.items() if key in body}
    if isinstance(tags := texts.get("tags"), list):
        texts["tags"] = ", ".join(map(str, tags))
    return {name: str(value) for name, value in texts.items()}
