"""The OpenAPI document: complete, valid, committed, and served with its viewer."""

import json
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.validation import validate_schema

from aiworkstation import BASE_DIR
from aiworkstation.web import openapi

COMMITTED = BASE_DIR / "docs" / "openapi.json"


@pytest.fixture
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(openapi.document())
    return found


def test_the_committed_document_is_what_the_server_returns() -> None:
    """Run `make openapi` and commit docs/openapi.json. It shows what a change means for clients."""
    assert json.loads(COMMITTED.read_text()) == json.loads(openapi.document()), (
        "run `make openapi`, and commit the result"
    )


def test_every_operation_is_described() -> None:
    openapi.document()
    assert sorted(openapi.undescribed) == [], "describe it in the api/openapi.py of its app, then run `make openapi`"


def test_it_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    validate_schema(document)  # type: ignore[no-untyped-call]


def addresses(patterns: list[Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        route = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            found |= addresses(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern) and route.startswith("api/"):
            found.add("/" + re.sub(r"<\w+:(\w+)>", "{}", route))
    return found


def test_every_address_is_in_it(document: dict[str, Any]) -> None:
    described = {re.sub(r"{\w+}", "{}", path) for path in document["paths"]}
    assert addresses(get_resolver().url_patterns) - described == {"/api/openapi.json", "/api/docs"}


def test_every_operation(document: dict[str, Any]) -> None:
    names: list[str] = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            where = f"{method} {path}"
            names.append(operation["operationId"])
            assert operation["summary"], where
            assert operation["security"], where
            assert {"400", "401", "429"} <= set(operation["responses"]), where
            assert ("404" in operation["responses"]) >= ("{" in path), where
            for status, answer in operation["responses"].items():
                assert answer["description"], where
                if int(status) >= 400:
                    assert answer["content"]["application/json"]["schema"]["$ref"], where
            for content in operation.get("requestBody", {}).get("content", {}).values():
                assert content["schema"], where
                assert content.get("examples") or "example" in content, where
    assert len(names) == len(set(names))


def test_bodies_are_closed_and_bounded(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    step = schemas["StepRequest"]
    assert step["additionalProperties"] is False
    assert step["properties"]["maxAttempts"] == {"type": "integer", "minimum": 1, "maximum": 20}
    assert schemas["WorkflowPayloadRequest"]["properties"]["steps"]["maxItems"] == 200
    assert {each["$ref"].split("/")[-1] for each in schemas["NewJobRequest"]["oneOf"]} >= {
        "NewWorkflowJobRequest",
        "NewBulkDocumentsJobRequest",
        "NewDocumentReprocessJobRequest",
    }


def test_anybody_may_read_it(client: Client) -> None:
    answer = client.get("/api/openapi.json")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer.json()["info"]["title"] == "AI Workstation"
    assert client.get("/api/openapi.json", headers={"if-none-match": answer["ETag"]}).status_code == 304
    assert client.get("/api/openapi.json/").status_code == 200


def test_the_viewer_has_nothing_inline(client: Client) -> None:
    answer = client.get("/api/docs")
    policy = answer["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    text = answer.content.decode()
    for unwanted in ("style=", "<style", "onclick", "<script>", "http://", "https://"):
        assert unwanted not in text


def test_it_is_linked_from_the_page_of_tokens(at_alice: Client) -> None:
    assert 'href="/api/docs"' in at_alice.get("/settings/tokens").content.decode()
