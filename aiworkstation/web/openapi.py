"""The OpenAPI document of the API: what the views cannot declare themselves, and the code that builds it.

A view reads its query and its body with serializers, in its own code. So each app describes in its `openapi.py` what
each of its operations takes and returns. drf-spectacular builds the document from this.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from importlib import import_module
from inspect import isfunction
from types import SimpleNamespace
from typing import Any, cast

from django.apps import apps
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.module_loading import module_has_submodule
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry, append_meta
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, PolymorphicProxySerializer
from rest_framework import serializers
from rest_framework.views import APIView

from aiworkstation.web import errors
from aiworkstation.web.conditional import etag, not_modified
from aiworkstation.web.middleware import CONTENT_SECURITY_POLICY
from aiworkstation.web.serializers import (
    Boolean,
    Json,
    JsonObject,
    NoParameters,
    NullIfEmpty,
    StrictSerializer,
    Time,
)

Schema = dict[str, Any]
_PATH_PARAMETER = re.compile(r"{([a-z]+(?:_[a-z]+)+)}")

COMMON_ERRORS = {
    401: "`not_authenticated`, `authentication_failed`, `token_expired`: no valid credentials.",
    403: "`permission_denied`: a session without its CSRF token. `insufficient_scope`: an API token without the scope.",
    404: "`not_found`: it does not exist, or belongs to another user.",
    429: "`throttled`: too many requests. The header `Retry-After` says when to try again.",
}
INPUT_ERRORS = {
    400: "`unknown` for a key or a value that does not exist, `required`, `invalid` and the other codes of a "
    "validation error, each with the field in `attr`; `parse_error` for a body that is not JSON."
}
BODY_ERRORS = {
    413: "`payload_too_large`: the body is larger than this address accepts.",
    415: "`unsupported_media_type`: the body is not of a type that this address accepts.",
}


class ErrorItem(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="What is wrong, for programs.")
    detail = serializers.CharField(help_text="What is wrong and what to do, for people.")
    attr = serializers.CharField(allow_null=True, help_text="The field, such as `payload.steps.0.name`.")


class Error(serializers.Serializer[Any]):
    type = serializers.ChoiceField(["validation_error", "client_error", "server_error"])
    errors = ErrorItem(many=True)  # type: ignore[assignment]


@dataclass(frozen=True)
class Operation:
    """What one method of one address takes and returns."""

    id: str
    summary: str
    description: str = ""
    tag: str = ""
    query: type[StrictSerializer] | None = None
    body: Any = None
    """A serializer, or a function that returns one."""
    media_type: str = "application/json"
    is_body_required: bool = True
    """Without it, a request without a body is valid too."""
    answers: Mapping[Any, Any] = field(default_factory=dict)
    """The body of each status, or of each status and media type: a serializer, a type, or None if there is no body."""
    errors: Mapping[int, str] = field(default_factory=dict)
    """Errors besides those of every operation of this kind: the codes and what they mean."""
    is_conditional: bool = False
    """It sends an ETag, and 304 if nothing has changed."""
    headers: Sequence[OpenApiParameter] = ()
    examples: Sequence[OpenApiExample] = ()
    is_signed: bool = False


_operations: dict[tuple[type, str], Operation] = {}
undescribed: set[str] = set()
"""Operations of the document without a description, such as those of your own app."""
_fields: dict[type, Schema] = {
    Json: {},
    Boolean: {"type": "boolean"},
    JsonObject: {"type": "object", "additionalProperties": {}},
    NullIfEmpty: {"type": ["string", "null"]},
    Time: {"type": "string", "format": "date-time"},
}


def reads(id: str, summary: str, answer: Any, **more: Any) -> Operation:
    """An operation that reads: a GET with an ETag, without parameters unless `query` has some."""
    return Operation(id, summary, answers={200: answer}, is_conditional=True, **{"query": NoParameters, **more})


def describe(view: Callable[..., Any], method: str, operation: Operation) -> None:
    """Declares what a method of an API view takes and returns."""
    _operations[view.cls, method] = operation  # type: ignore[attr-defined]


def describe_field(kind: type, schema: Schema) -> None:
    """Declares what values one of our own fields takes or returns."""
    _fields[kind] = schema


def example(name: str, value: Any, *, media_type: str = "application/json") -> OpenApiExample:
    """An example of the body."""
    return OpenApiExample(name, value=value, request_only=True, media_type=media_type)


def answer_example(name: str, value: Any, status: int) -> OpenApiExample:
    return OpenApiExample(name, value=value, response_only=True, status_codes=[str(status)])


def list_of(name: str, item: Any) -> Any:
    """The answer of a list: `{"<name>": […], "nextCursor": …}`."""
    fields = {name: item, "nextCursor": serializers.CharField(allow_null=True)}
    return type(f"{name.title()}Page", (serializers.Serializer,), fields)


def one_of(name: str, alternatives: Sequence[Any]) -> PolymorphicProxySerializer:
    """A body that has one of these shapes."""
    return PolymorphicProxySerializer(component_name=name, serializers=alternatives, resource_type_field_name=None)


class ApiSchema(AutoSchema):
    """Takes from `describe` what drf-spectacular would look for in the attributes of a class-based view."""

    @property
    def operation(self) -> Operation:
        key = type(self.view), self.method
        if key not in _operations:
            undescribed.add(f"{self.method} {self.path}")
            words = re.findall(r"[A-Za-z0-9]+", f"{self.method} {self.path.removeprefix('/api')}")
            name = words[0].lower() + "".join(word[0].upper() + word[1:] for word in words[1:])
            _operations[key] = Operation(name, f"{self.method} {self.path}", answers={200: OpenApiTypes.ANY})
        return _operations[key]

    def get_operation_id(self) -> str:
        return self.operation.id

    def get_summary(self) -> str:
        return self.operation.summary

    def get_description(self) -> str:  # type: ignore[override]
        scope = settings.API_SCOPES.get(self._route(), {}).get(self.method, "")
        parts = [self.operation.description, f"An API token needs the scope `{scope}`." if scope else ""]
        return " ".join(part for part in parts if part)

    def _route(self) -> str:
        """The address as `urls.py` has it, without its leading slash."""
        return re.sub(r"{(\w+)}", r"<str:\1>", self.path.removeprefix("/"))

    def get_tags(self) -> list[str]:
        return [self.operation.tag or self.path.split("/")[2]]

    def get_override_parameters(self) -> list[Any]:
        found: list[Any] = [*self.operation.headers]
        if self.operation.query is not None and self.operation.query is not NoParameters:
            found.append(self.operation.query)
        if self.operation.is_conditional:
            found.append(OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="An ETag."))
        return found

    def get_request_serializer(self) -> Any:
        body = self.operation.body
        body = body() if isfunction(body) else body
        return None if body is None else {self.operation.media_type: body}

    def _get_request_body(self, direction: str = "request") -> Any:
        body = super()._get_request_body(direction)
        if body and self.operation.is_body_required:
            body["required"] = True
        elif body:
            body.pop("required", None)
        return body

    def get_response_serializers(self) -> Any:
        operation = self.operation
        found: dict[Any, Any] = {key: _answer(value) for key, value in operation.answers.items()}
        if operation.is_conditional:
            found[304] = OpenApiResponse(description="Nothing has changed since the answer with this ETag.")
        for status, codes in sorted(self._errors().items()):
            found[status] = OpenApiResponse(Error, description=codes)
        return found

    def _errors(self) -> dict[int, str]:
        operation = self.operation
        found = {**COMMON_ERRORS, **INPUT_ERRORS}
        if "{" not in self.path:
            del found[404]
        if operation.is_signed:
            del found[401], found[403]
        if operation.body is not None or self.method in ("POST", "PUT", "PATCH"):
            found |= BODY_ERRORS
        for status, codes in operation.errors.items():
            found[status] = f"{found[status]} {codes}" if status in found else codes
        return found

    def get_examples(self) -> list[OpenApiExample]:
        return list(self.operation.examples)

    def get_auth(self) -> list[dict[str, Any]]:
        return [{"signature": []}] if self.operation.is_signed else [{"apiToken": []}, {"session": []}]

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> Any:
        for kind in type(field).__mro__:
            if kind in _fields:
                return append_meta(dict(_fields[kind]), self._get_serializer_field_meta(field, direction))
        schema = super()._map_serializer_field(field, direction, bypass_extensions)
        is_input = direction == "request" and isinstance(field, serializers.CharField)
        if is_input and field.trim_whitespace and not field.allow_blank:
            schema["pattern"] = r"\S"
        return schema

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        schema = super()._map_basic_serializer(serializer, direction)
        if isinstance(serializer, StrictSerializer):
            schema["additionalProperties"] = False
            schema.pop("description", None)  # it is about the code
        return schema


def input_schema(serializer: serializers.Serializer[Any]) -> Schema:
    """Returns the JSON Schema of what the serializer reads. It refers to nothing outside itself."""
    _load_descriptions()
    schema = ApiSchema()
    schema.registry = ComponentRegistry()
    schema.view = cast(APIView, SimpleNamespace(request=None))  # it asks a view only about pages and files
    schema.method, schema.path = "POST", ""
    found = schema._map_serializer(serializer, "request")
    known = schema.registry._components.values()
    components = {f"#/components/schemas/{each.name}": each.schema for each in known}
    whole: Schema = _inlined(found, components)
    _tidy(whole)
    return whole


def _inlined(value: Any, components: Mapping[str, Schema]) -> Any:
    """No serializer contains itself, so this ends."""
    if isinstance(value, list):
        return [_inlined(item, components) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _inlined(components[value["$ref"]], components)
    return {key: _inlined(item, components) for key, item in value.items()}


def _answer(value: Any) -> Any:
    return OpenApiResponse(description="Done. There is no body.") if value is None else value


def without_unknown_paths(endpoints: list[Any], **_: Any) -> list[Any]:
    """Leaves out the view that answers every path that the API does not have."""
    return [each for each in endpoints if getattr(each[3], "cls", None) is not errors.not_found.cls]


def with_wire_names(result: Schema, **_: Any) -> Schema:
    """Writes parameters in paths as all other names: `{job_id}` is `{jobId}`."""

    def camel(text: str) -> str:
        first, *rest = text.split("_")
        return first + "".join(part.title() for part in rest)

    _tidy(result)
    paths = {
        _PATH_PARAMETER.sub(lambda found: f"{{{camel(found[1])}}}", path): item
        for path, item in result["paths"].items()
    }
    for item in paths.values():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path":
                    parameter["name"] = camel(parameter["name"])
    return {**result, "paths": paths}


def _load_descriptions() -> None:
    """Imports the module `api.openapi` of each app that has one."""
    for app in apps.get_app_configs():
        if app.module is not None and module_has_submodule(app.module, "api"):
            api = import_module(f"{app.name}.api")
            if module_has_submodule(api, "openapi"):
                import_module(f"{app.name}.api.openapi")


def _tidy(value: Any) -> None:
    """Removes empty text: lists of enumerated values as text, docstrings about the code, empty descriptions."""
    if isinstance(value, list):
        for item in value:
            _tidy(item)
    if not isinstance(value, dict):
        return
    value.pop("x-spec-enum-id", None)
    text = value.get("description")
    if isinstance(text, str) and ("enum" in value or "properties" in value or text.startswith("* `")):
        del value["description"]
    value.pop("readOnly", None)
    for status, answer in value.get("responses", {}).items():
        answer["description"] = answer.get("description") or HTTPStatus(int(status)).phrase
    for item in value.values():
        _tidy(item)


@cache
def document() -> bytes:
    """The document as JSON. It is the same for everybody."""
    _load_descriptions()
    schema = SchemaGenerator().get_schema(request=None, public=True)
    return (json.dumps(schema, indent=2, ensure_ascii=False) + "\n").encode()


@require_safe
def openapi(request: HttpRequest) -> HttpResponseBase:
    tag = _tag()
    response = not_modified(request, tag) or HttpResponse(document(), content_type="application/json")
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "no-cache"
    return response


@cache
def _tag() -> str:
    return etag(document().decode())


@require_safe
def viewer(request: HttpRequest) -> HttpResponse:
    """A page that shows the document. Icons are data in its style sheet: the site's policy has no place for them."""
    response = render(request, "web/api_docs.html")
    response.headers["Content-Security-Policy"] = f"{CONTENT_SECURITY_POLICY}; img-src 'self' data:"
    return response
