"""Bodies that are valid JSON and cost much to check: long lists, many keys, many errors."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.support.documents import upload
from workflows.models import WorkflowExecution

pytestmark = pytest.mark.django_db
MANY = 100_000


def start(client: Client, job_type: str, payload: dict[str, Any], **options: Any) -> Any:
    body: dict[str, Any] = {"jobType": job_type, "payload": payload} | options
    return client.post("/api/jobs", body, content_type="application/json")


def workflow(steps: list[Any]) -> dict[str, Any]:
    return {"workflowName": "w", "steps": steps}


def step(**values: Any) -> dict[str, Any]:
    return {"name": "a", **values}


@pytest.mark.parametrize(
    ("job_type", "payload", "attr"),
    [
        ("workflow", workflow([{}] * 20_000), "payload.steps"),
        ("workflow", workflow([None] * MANY), "payload.steps"),
        ("workflow", workflow([step(dependsOn=["a"] * MANY)]), "payload.steps.0.dependsOn"),
        ("workflow", {**workflow([step()]), "tags": ["t"] * 500_000}, "payload.tags"),
        ("bulk-documents", {"documents": [{}] * MANY}, "payload.documents"),
        ("document-reprocess", {"documentIds": [1] * MANY}, "payload.documentIds"),
    ],
)
def test_the_length_of_a_list_is_checked_before_its_items(
    as_alice: Client, job_type: str, payload: dict[str, Any], attr: str
) -> None:
    answer = start(as_alice, job_type, payload)
    errors = {error["attr"]: error["code"] for error in answer.json()["errors"]}
    assert answer.status_code == 400
    assert errors[attr] == "max_length"
    assert len(errors) <= 2


@pytest.mark.parametrize(
    "payload",
    [
        {f"key{number}": 1 for number in range(MANY)},
        workflow([{f"key{number}": 1 for number in range(MANY)}]),
        {f"{number}{'x' * 50_000}": 1 for number in range(100)},
        workflow([{"a": 1, "b": 2, "c": 3}] * 200),
        workflow([step(tool="HTTP_REQUEST", arguments={f"key{number}": 1 for number in range(MANY)})]),
        workflow(
            [step(tool="HTTP_REQUEST", arguments={"url": "https://a.example", "headers": {key: {} for key in "ab"}})]
        ),
    ],
)
def test_an_answer_has_at_most_100_errors(as_alice: Client, payload: dict[str, Any]) -> None:
    answer = start(as_alice, "workflow", payload)
    assert answer.status_code == 400
    assert 1 <= len(answer.json()["errors"]) <= 100
    assert len(answer.content) < 500_000
    assert not WorkflowExecution.objects.exists()


@pytest.mark.parametrize("text", ["x" * 5_000_000, "\u202e" * 1_000_000])
def test_an_error_does_not_repeat_a_huge_value(as_alice: Client, text: str) -> None:
    for payload in (
        workflow([step(tool=text)]),
        workflow([step(dependsOn=[text])]),
        {**workflow([step()]), "mode": text},
    ):
        answer = start(as_alice, "workflow", payload)
        assert answer.status_code == 400
        assert len(answer.content) < 10_000
    for options in ({"priority": text}, {"jobType": text}):
        answer = start(as_alice, "workflow", workflow([step()]), **options)
        assert answer.status_code == 400
        assert len(answer.content) < 10_000


NO_JSON = {
    "NaN": '{"jobType": NaN}',
    "Infinity": '{"payload": {"a": Infinity}}',
    "-Infinity": '{"a": [-Infinity]}',
    "1e999": '{"a": 1e999}',
    "lists": "[" * 101 + "]" * 101,
    "objects": '{"a":' * 101 + "1" + "}" * 101,
    "both": '{"a":[' * 51 + "1" + "]}" * 51,
    "very deep": "[" * 1_000_000,
    "half a pair": '{"a": "\\ud800',
    "no UTF-8": b'{"a": "\xff"}',
    "two values": "{} {}",
    "comma": '{"a": 1,}',
}


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
@pytest.mark.parametrize("path", ["jobs", "jobs/bulk", "workflows", "schedules", "webhooks"])
def test_one_strict_parser_reads_all_bodies(as_alice: Client, path: str, body: str | bytes) -> None:
    as_alice.raise_request_exception = False
    answer = as_alice.post(f"/api/{path}", body, content_type="application/json")
    assert answer.status_code == 400
    assert [error["code"] for error in answer.json()["errors"]] == ["parse_error"]
    assert len(answer.content) < 1_000


OVERLAPS = [(100, 100), (8000, 7990), (8000, 7999), (20, 19), (500, 480)]


@pytest.mark.parametrize(("size", "overlap"), OVERLAPS)
def test_chunks_repeat_a_text_only_a_few_times(alice: User, as_alice: Client, size: int, overlap: int) -> None:
    upload(alice, "Hello world. " * 100, client_id="doc1")
    jobs: dict[str, dict[str, Any]] = {
        "bulk-documents": {"documents": [{"id": "doc1"}], "chunkSize": size, "overlap": overlap},
        "document-reprocess": {"documentIds": ["doc1"], "newChunkSize": size, "newOverlap": overlap},
    }
    for tool in ("DOCUMENT_INGEST", "DOCUMENT_REPROCESS"):
        arguments = {"documentId": "doc1", "chunkSize": size, "overlap": overlap}
        jobs[f"workflow {tool}"] = workflow([step(tool=tool, arguments=arguments)])
    answers = {name: start(as_alice, name.split()[0], payload).status_code for name, payload in jobs.items()}
    assert set(answers.values()) == {400}, answers
    for unit in ("tokens", "characters"):
        query = {"chunkSize": size, "overlap": overlap, "unit": unit}
        assert as_alice.get("/api/documents/doc1/preview", query).status_code == 400


@pytest.mark.parametrize("path", ["/api/jobs", "/api/documents"])
def test_a_filter_has_few_values(as_alice: Client, path: str) -> None:
    answer = as_alice.get(path + "?" + "&".join(["status=completed"] * 500))
    assert answer.json()["errors"][0]["code"] == "max_length"
