"""Form fields for the arguments of a tool, from its JSON Schema.

A kind of field is a class with a template, registered under a JSON Schema `type` or `format`, or under a name that a
tool gives in `form_fields`. An app in EXTRA_APPS adds kinds with `register`. Each field turns text into JSON and back.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms
from django.contrib.auth.models import User

from aiworkstation import strict_json
from aiworkstation.web.parsers import loads_storable
from documents.models import Document
from workflows.models import OutsideWorker

Schema = dict[str, Any]
REQUIRED = "isRequired"
SHORT = 300
"""Texts that may be longer get a field of several lines."""
PICKED = 50
"""The number of documents that a picker offers: the newest ones. Others are entered by their ids."""
CODE = {"spellcheck": "false", "class": "code"}


@dataclass(frozen=True)
class SecretHint:
    """A secret that an argument may contain: the text to insert, and the hosts that get it."""

    text: str
    hosts: str


class ArgumentField(forms.CharField):
    """Base class, and the field for a text. An empty field means that the argument is left out."""

    template: ClassVar[str] = "jobs/arguments/_text.html"
    default_error_messages = {"required": "Fill in this field."}
    secrets: list[SecretHint]

    def __init__(self, schema: Schema, user: User) -> None:
        self.schema = schema
        self.user = user
        self.secrets = []
        super().__init__(required=False, strip=False, widget=self.make_widget(), help_text=_help_text(schema))

    def make_widget(self) -> forms.Widget:
        if self.schema.get("maxLength", SHORT + 1) <= SHORT:
            return forms.TextInput()
        return forms.Textarea({"rows": 2})

    def clean(self, value: Any) -> Any:
        """Returns the argument, None if the field is empty. Raises forms.ValidationError."""
        text = super().clean(value)
        # Browsers send other ends of lines from several lines, and none from a field of one line.
        text = re.sub(r"\r\n?|\n", "\n" if isinstance(self.widget, forms.Textarea) else "", text)
        return self.to_json(text) if text else None

    def to_json(self, text: str) -> Any:
        """Turns entered text into the argument. It is not empty."""
        return text

    def to_text(self, value: Any) -> str:
        """The reverse of `to_json`. A value that this field cannot hold may become any text."""
        return str(value)

    def holds(self, value: Any) -> bool:
        """Whether the value would survive the form unchanged."""
        try:
            return _same(self.clean(self.to_text(value)), value)
        except forms.ValidationError:
            return False


_kinds: dict[str, type[ArgumentField]] = {"string": ArgumentField}
Kind = type[ArgumentField]


def register(*names: str) -> Callable[[Kind], Kind]:
    """Class decorator. The names are JSON Schema types, formats, or values of `form_fields`."""

    def add(kind: Kind) -> Kind:
        _kinds.update(dict.fromkeys(names, kind))
        return kind

    return add


def argument_field(schema: Schema, user: User, kind: str = "") -> ArgumentField:
    """Returns the field for one argument. `schema` is resolved (`argument_schemas`), `kind` is of `form_fields`."""
    shape = "enum" if "enum" in schema or "const" in schema else str(schema.get("type", "json"))
    if shape == "array" and _kinds[_item_shape(schema)] not in (ArgumentField, NumberField):
        shape = "json"
    if shape == "object" and not _is_of_texts(schema):
        shape = "json"
    names = (kind, str(schema.get("format", "")), shape, "json")
    return next(_kinds[name] for name in names if name in _kinds)(schema, user)


def argument_schemas(arguments: Schema) -> dict[str, Schema]:
    """The properties of a tool's JSON Schema, without references and without the alternative null.

    Those that must be there are marked with REQUIRED.
    """
    required = arguments.get("required", [])
    properties = arguments.get("properties", {})
    return {name: _resolved(arguments, node) | {REQUIRED: name in required} for name, node in properties.items()}


def _resolved(root: Schema, node: Schema) -> Schema:
    outer = {key: value for key, value in node.items() if key not in ("$ref", "anyOf")}
    if "$ref" in node:
        return _resolved(root, root["$defs"][node["$ref"].rpartition("/")[2]]) | outer
    choices = [each for each in node.get("anyOf", []) if each.get("type") != "null"]
    return _resolved(root, choices[0]) | outer if len(choices) == 1 else node


def _item_shape(schema: Schema) -> str:
    shape = str(schema.get("items", {}).get("type", "json"))
    return shape if shape in _kinds else "json"


def _is_of_texts(schema: Schema) -> bool:
    more = schema.get("additionalProperties")
    return "properties" not in schema and isinstance(more, dict) and more.get("type") == "string"


def _help_text(schema: Schema) -> str:
    description = str(schema.get("description", ""))
    parts = [description[:1].upper() + description[1:]] if description else []
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        parts.append(f"From {least} to {most}")
    elif least is not None or most is not None:
        parts.append(f"At least {least}" if most is None else f"At most {most}")
    if (default := schema.get("default")) not in (None, "", {}, []):
        parts.append(f"Default: {default if isinstance(default, str) else json.dumps(default)}")
    return ". ".join(part.rstrip(".") for part in parts) + ("." if parts else "")


def _same(found: Any, value: Any) -> bool:
    """Whether two JSON values are the same: 1, 1.0 and true are not."""
    return json.dumps(found, sort_keys=True) == json.dumps(value, sort_keys=True)


@register("integer", "number")
class NumberField(ArgumentField):
    def make_widget(self) -> forms.Widget:
        is_whole = self.schema.get("type") == "integer"
        # No limits here: the API checks them, and says more than a browser does.
        return forms.NumberInput({"step": 1 if is_whole else "any"})

    def to_json(self, text: str) -> Any:
        is_whole = self.schema.get("type") == "integer"
        try:
            found = strict_json.loads(text)
        except strict_json.BadJson:
            found = None
        if isinstance(found, bool) or not isinstance(found, int if is_whole else int | float):
            raise forms.ValidationError("Enter a whole number." if is_whole else "Enter a number.")
        return found

    def to_text(self, value: Any) -> str:
        return json.dumps(value)


@register("json")
class JsonField(ArgumentField):
    """For every schema that no other kind of field fits."""

    def make_widget(self) -> forms.Widget:
        return forms.Textarea({"rows": 3, "placeholder": "JSON", **CODE})

    def to_json(self, text: str) -> Any:
        try:
            return loads_storable(text)
        except strict_json.BadJson as error:
            raise forms.ValidationError(f"This is not valid JSON: {error}") from error

    def to_text(self, value: Any) -> str:
        return json.dumps(value, indent=2, ensure_ascii=False)


@register("boolean", "enum")
class ChoiceField(ArgumentField):
    """One of the values of the schema, or of true and false."""

    def make_widget(self) -> forms.Widget:
        names = [(self.to_text(value), self.to_text(value)) for value in self._values]
        return forms.Select(choices=[("", "Default" if "default" in self.schema else "Not given"), *names])

    @property
    def _values(self) -> list[Any]:
        if self.schema.get("type") == "boolean":
            return [True, False]
        return list(self.schema["enum"]) if "enum" in self.schema else [self.schema["const"]]

    def to_json(self, text: str) -> Any:
        for value in self._values:
            if self.to_text(value) == text:
                return value
        known = ", ".join(map(self.to_text, self._values))
        raise forms.ValidationError(f"There is no {text}. Choose one of: {known}.")

    def to_text(self, value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value)


@register("array")
class LinesField(ArgumentField):
    """A list of texts or numbers, one in each line."""

    def make_widget(self) -> forms.Widget:
        return forms.Textarea({"rows": 3, "placeholder": "one per line"})

    @property
    def _item(self) -> ArgumentField:
        return argument_field(self.schema.get("items", {}), self.user)

    def to_json(self, text: str) -> Any:
        item = self._item
        return [item.to_json(line) for line in text.split("\n") if line.strip()] or None

    def to_text(self, value: Any) -> str:
        return "\n".join(map(self._item.to_text, value)) if isinstance(value, list) else ""


@register("object")
class PairsField(ArgumentField):
    """An object of texts, such as headers: one `name: value` in each line."""

    def make_widget(self) -> forms.Widget:
        return forms.Textarea({"rows": 3, "placeholder": "name: value"})

    def to_json(self, text: str) -> Any:
        found: dict[str, str] = {}
        for line in filter(str.strip, text.split("\n")):
            name, colon, value = line.partition(":")
            if not colon or not name.strip():
                raise forms.ValidationError("Write one pair in each line, as name: value.")
            if name.strip() in found:
                raise forms.ValidationError(f"{name.strip()} appears twice. Keep one of them.")
            found[name.strip()] = value.strip()
        return found or None

    def to_text(self, value: Any) -> str:
        return "\n".join(f"{name}: {text}" for name, text in value.items()) if isinstance(value, dict) else ""


@register("line", "uri", "email")
class LineField(ArgumentField):
    """A text in one line, such as an address. It may contain placeholders, so no browser checks it."""

    def make_widget(self) -> forms.Widget:
        return forms.TextInput({"spellcheck": "false"})


@register("document")
class DocumentPicker(ArgumentField):
    """The id of a document. The newest ones are offered by their names."""

    template = "jobs/arguments/_document.html"

    def make_widget(self) -> forms.Widget:
        return forms.TextInput({"list": "documents-to-pick", "autocomplete": "off"})


@register("outside-worker")
class OutsideWorkerPicker(ChoiceField):
    """The name of a registered outside worker that the user may use."""

    @property
    def _values(self) -> list[Any]:
        return list(OutsideWorker.objects.usable_by(self.user.pk).values_list("name", flat=True))


def documents_to_pick(user: User) -> list[tuple[str, str]]:
    """The ids and names of the user's newest documents."""
    rows = Document.objects.filter(owner=user).order_by("-created_at", "-pk")
    return list(rows.values_list("client_id", "filename")[:PICKED])
