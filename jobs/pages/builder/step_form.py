"""One step in the builder."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.utils.functional import cached_property

from aiworkstation.web.form_fields import Line, Paragraph
from jobs.pages.builder.argument_fields import (
    REQUIRED,
    ArgumentField,
    JsonField,
    SecretHint,
    argument_field,
    argument_schemas,
)
from jobs.pages.builder.choices import Choices, with_unknown
from workflows import tools

Json = dict[str, Any]
ARGUMENT = "arg-"
"""How the names of the fields for arguments begin."""
FIELDS, MODEL, AS_JSON = "fields", "model", "json"
BEFORE, AT_ONCE, CHOSEN = "", "start", "chosen"
GIVEN_BY = [(FIELDS, "Fill them in"), (MODEL, "The model chooses them"), (AS_JSON, "Write them as JSON")]
FOLLOWS = [(BEFORE, "the step before it"), (AT_ONCE, "the start of the job"), (CHOSEN, "the steps selected here")]
FIELD_OF_KEY = {
    "name": "name",
    "description": "description",
    "tool": "tool",
    "dependsOn": "follows",
    "maxAttempts": "attempts",
    "timeoutSeconds": "timeout",
}
"""The fields beside the arguments, by the keys of the API."""
Secrets = Callable[[str], list[SecretHint]]
"""Returns the secrets that an argument of this name may contain."""


def number_or_text(text: str) -> int | str:
    """What is no number stays as it is, so that the API reports it."""
    return int(text) if text.strip().isdecimal() and len(text) < 19 else text


class StepForm(forms.Form):
    """`key` tells the rows of the form apart: it stays when a step is moved. `others` are the other rows, by key."""

    use_required_attribute = False

    name = Line(label="Name", required=False)
    tool = forms.CharField(label="Done by", required=False)
    description = Paragraph(label="Instructions", required=False)
    given_by = forms.ChoiceField(label="Arguments", choices=GIVEN_BY, required=False)
    json = forms.CharField(required=False)
    follows = forms.ChoiceField(label="Starts after", choices=FOLLOWS, required=False)
    needs = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    attempts = Line(label="Attempts", required=False, help_text="1 to 20. Default: 3.")
    timeout = Line(label="Time limit (seconds)", required=False, help_text="For each attempt. Default: none.")

    def __init__(self, key: str, user: User, data: Any = None, *, initial: Json | None = None) -> None:
        super().__init__(data, prefix=f"step-{key}", initial=initial)
        self.key = key
        self.user = user
        self.number = 0
        self.focus = ""
        self.argument_names: list[str] = []
        slug = self["tool"].value() or ""
        self.fields["tool"].widget = forms.Select(choices=with_unknown(_tool_choices(), slug))
        self.fields["json"] = JsonField({"description": "A JSON object"}, user)
        if (tool := tools.get(slug)) is not None:
            self._add_arguments(tool)

    def _add_arguments(self, tool: tools.Tool) -> None:
        for name, node, kind in _described(tool):
            field = argument_field(node, self.user, kind)
            field.label = f"{name} (required)" if node.get(REQUIRED) else name
            self.fields[f"{ARGUMENT}{name}"] = field
            self.argument_names.append(name)

    def connect(self, number: int, others: Sequence["StepForm"], secrets: Secrets) -> None:
        """Tells the row its number, from 1, the rows that it may wait for, and the secrets that it may use."""
        self.number = number
        self.fields["needs"].choices = [(row.key, row.title) for row in others]  # type: ignore[attr-defined]
        if self.chosen_tool is not None:
            for name in self.chosen_tool.secrets_in & {*self.argument_names}:
                self._argument(name).secrets = secrets(name)

    def put_focus(self, part: str) -> None:
        """`name`, `up` or `down` gets the focus; empty: nothing."""
        self.focus = part
        if part == "name":
            self.fields["name"].widget.attrs["autofocus"] = True

    @property
    def title(self) -> str:
        return self._raw("name") or f"Step {self.number}"

    @cached_property
    def chosen_tool(self) -> tools.Tool | None:
        return tools.get(self._raw("tool"))

    @property
    def given_by_value(self) -> str:
        return self._raw("given_by") or FIELDS

    @property
    def arguments(self) -> list[forms.BoundField]:
        """The fields for the arguments."""
        return [self[f"{ARGUMENT}{name}"] for name in self.argument_names]

    @property
    def is_ordinary(self) -> bool:
        """Whether the page may hide the order and the limits of the step."""
        names = ("follows", "attempts", "timeout")
        return not any(self._raw(name) or self.errors.get(name) for name in names)

    @property
    def is_empty(self) -> bool:
        return not any(self._raw(name) for name in self.fields if name not in ("given_by", "needs"))

    def _raw(self, name: str) -> str:
        return str(self[name].value() or "").strip()

    def _argument(self, name: str) -> ArgumentField:
        field = self.fields[f"{ARGUMENT}{name}"]
        assert isinstance(field, ArgumentField)
        return field

    def entered(self) -> dict[str, Any]:
        """Returns everything that was entered, not checked, as the initial values of another row."""
        return {name: self[name].value() for name in self.fields}

    def clean(self) -> dict[str, Any]:
        """What the page hides, because another choice was made, counts for nothing."""
        cleaned: dict[str, Any] = super().clean() or {}
        arguments = {f"{ARGUMENT}{name}" for name in self.argument_names}
        hidden = {FIELDS: {"json"}, AS_JSON: arguments}.get(self.given_by_value, {"json", *arguments})
        if self._raw("follows") != CHOSEN:
            hidden = hidden | {"needs"}
        for name in hidden:
            self.errors.pop(name, None)
            cleaned[name] = None
        return cleaned

    def clean_json(self) -> Any:
        found = self.cleaned_data["json"]
        if found is not None and not isinstance(found, dict):
            raise forms.ValidationError('Write a JSON object, such as {"name": "value"}.')
        return found

    def step(self, names: Mapping[str, str]) -> Json:
        """Returns the step for the API. The form must be valid. `names` are those of all rows, by key."""
        entered = self.cleaned_data
        step: Json = {"name": entered["name"]}
        step |= {name: entered[name] for name in ("description", "tool") if entered[name]}
        if (arguments := self._arguments()) is not None:
            step["arguments"] = arguments
        if entered["follows"] == AT_ONCE:
            step["dependsOn"] = []
        elif entered["follows"] == CHOSEN:
            step["dependsOn"] = [names[key] for key in entered["needs"] if key in names]
        for key in ("maxAttempts", "timeoutSeconds"):
            if text := entered[FIELD_OF_KEY[key]]:
                step[key] = number_or_text(text)
        return step

    def _arguments(self) -> Json | None:
        """None: the model chooses them, or there is no tool."""
        if self.given_by_value == AS_JSON:
            return self.cleaned_data["json"]  # type: ignore[no-any-return]
        if self.chosen_tool is None or self.given_by_value == MODEL:
            return None
        found = {name: self.cleaned_data[f"{ARGUMENT}{name}"] for name in self.argument_names}
        return {name: value for name, value in found.items() if value is not None}

    def place_error(self, path: list[str], detail: str, *, is_missing: bool) -> None:
        """Puts an error of the API beside its field. `path` leads to it from the step."""
        match path:
            case ["name"] if is_missing:
                self.add_error("name", "Enter a name for the step.")
            case ["arguments", name, *inner] if name in self.argument_names and self.given_by_value == FIELDS:
                self.add_error(f"{ARGUMENT}{name}", f"{'.'.join(inner)}: {detail}" if inner else detail)
            case ["arguments", *inner] if self.given_by_value == AS_JSON:
                self.add_error("json", f"{'.'.join(inner)}: {detail}" if inner else detail)
            case [key, *_] if key in FIELD_OF_KEY:
                self.add_error(FIELD_OF_KEY[key], detail)
            case ["arguments", *inner] if inner:
                self.add_error(None, f"{'.'.join(inner)}: {detail}")
            case _:
                self.add_error(None, detail)


def step_texts(step: Json, keys: Mapping[str, str], user: User) -> dict[str, Any]:
    """Returns the initial values of the row for a step. `keys` are those of all rows, by the names of their steps."""
    texts: dict[str, Any] = {
        field: str(step[key]) for key, field in FIELD_OF_KEY.items() if key in step and key != "dependsOn"
    }
    needs = step.get("dependsOn")
    if isinstance(needs, list):
        texts["follows"] = CHOSEN if needs else AT_ONCE
        texts["needs"] = [keys[name] for name in needs if isinstance(name, str) and name in keys]
    return texts | _argument_texts(step, user)


def _argument_texts(step: Json, user: User) -> dict[str, str]:
    """Fields if all arguments fit into them, otherwise JSON."""
    tool, arguments = tools.get(str(step.get("tool", ""))), step.get("arguments")
    if "arguments" not in step:
        return {"given_by": MODEL} if step.get("tool") else {}
    if tool is not None and isinstance(arguments, dict):
        fields = {name: argument_field(node, user, kind) for name, node, kind in _described(tool) if name in arguments}
        if len(fields) == len(arguments) and all(fields[name].holds(value) for name, value in arguments.items()):
            texts = {f"{ARGUMENT}{name}": fields[name].to_text(value) for name, value in arguments.items()}
            return {"given_by": FIELDS, **texts}
    return {"given_by": AS_JSON, "json": JsonField({}, user).to_text(arguments)}


@cache
def _described(tool: tools.Tool) -> list[tuple[str, Json, str]]:
    """The name, the JSON Schema and the kind of field of each argument."""
    schemas = argument_schemas(tool.Arguments.model_json_schema())
    return [(name, node, tool.form_fields.get(name, "")) for name, node in schemas.items()]


def _tool_choices() -> Choices:
    return [("", "A model"), *((tool.slug, f"{tool.slug}: {tool.description}") for tool in tools.offered_tools())]
