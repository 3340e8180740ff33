"""The models have the fields of the OpenAPI document, and both clients have every call."""

import inspect
import json
import re
from dataclasses import fields
from typing import Any

import pytest
from aiworkstation_client import AsyncClient, Client, calls, models, uploads
from aiworkstation_client.decoding import camel

from aiworkstation import BASE_DIR

OPENAPI: dict[str, Any] = json.loads((BASE_DIR / "docs" / "openapi.json").read_text())
SCHEMAS = OPENAPI["components"]["schemas"]
OTHER_NAMES = {"Job": "JobWithSteps", "Step": "StepWithAttempts", "StartedJob": "Started"}
INSIDE_OTHERS = {"Model", "Failure"}
MODELS = {
    name: model
    for name, model in inspect.getmembers(models, inspect.isclass)
    if issubclass(model, models.Model) and name not in INSIDE_OTHERS
}


@pytest.mark.parametrize("name", MODELS)
def test_fields(name: str) -> None:
    schema = SCHEMAS[OTHER_NAMES.get(name, name)]
    known = {camel(each.name): each for each in fields(MODELS[name]) if each.name != "raw"}
    assert set(known) == set(schema["properties"])


def test_both_clients_have_the_same_methods() -> None:
    def signatures(kind: type) -> dict[str, str]:
        public = {name: value for name, value in vars(kind).items() if not name.startswith("_")}
        return {name: str(inspect.signature(value)) for name, value in public.items() if callable(value)}

    assert signatures(Client) == signatures(AsyncClient)


def test_every_operation_is_a_method() -> None:
    public = {
        name
        for module in (calls, uploads)
        for name, value in inspect.getmembers(module, inspect.isfunction)
        if value.__module__ == module.__name__ and not name.startswith("_")
        if re.match(r"(?:\w+\.)*(?:Operation|Listing)\[", str(inspect.signature(value).return_annotation))
    }
    assert {name for name in public if not hasattr(Client, name)} == {"upload_all"}
    undocumented = [name for name in public if not (getattr(calls, name, None) or getattr(uploads, name)).__doc__]
    assert undocumented == ["upload_all"]


def parameters(path: str) -> set[str]:
    """The filters of a list."""
    paging = {"limit", "cursor", "If-None-Match", "jobId"}
    return {each["name"] for each in OPENAPI["paths"][path]["get"]["parameters"]} - paging


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (calls.JobFilter, parameters("/api/jobs")),
        (calls.JobFilter, set(SCHEMAS["JobsFilterRequest"]["properties"])),
        (calls.DocumentFilter, parameters("/api/documents")),
        (calls.NewStep, set(SCHEMAS["StepRequest"]["properties"])),
        (calls.RunOptions, set(SCHEMAS["RunRequestRequest"]["properties"]) | {"owner"}),
        (
            calls.StartOptions,
            set(SCHEMAS["NewWorkflowJobRequest"]["properties"]) - {"jobType", "payload", "tags", "projectId"},
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_options(options: Any, names: set[str]) -> None:
    assert {camel(name) for name in options.__annotations__} == names
