"""Jobs are found by the values in their input."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from jobs import job_input
from jobs.job_input import BadInput, conditions, has_input
from jobs.models import JobInput
from jobs.rerun import plan_rerun, start_rerun
from jobs.start import start
from tests.support.documents import upload
from tests.support.jobs import complete_all, start_job
from workflows import engine
from workflows.models import WorkflowExecution

PAYLOAD: dict[str, Any] = {
    "workflowName": "Weekly report",
    "modelId": "gpt-4o",
    "tags": ["legal"],
    "steps": [
        {"name": "Look", "tool": "DOCUMENT_SEARCH", "arguments": {"query": "a = b", "limit": 5}},
        {
            "name": "Call",
            "tool": "HTTP_REQUEST",
            "arguments": {"url": "https://x.example/", "json": {"a": {"b": True}}},
        },
    ],
}


def found(text: str) -> list[str]:
    rows = WorkflowExecution.objects.filter(has_input(text)).order_by("created_at", "pk")
    return list(rows.values_list("name", flat=True))


@pytest.mark.parametrize(
    "text",
    [
        "modelId=gpt-4o",
        "tool=HTTP_REQUEST",
        "steps.tool=HTTP_REQUEST",
        "steps.1.tool=HTTP_REQUEST",
        "arguments.limit=5",
        "limit=5",
        "json.a.b=true",
        "tags=legal",
        'query="a = b"',
        'workflowName="Weekly report"',
        "url=https://x.example/ modelId=gpt-4o",
        "",
        "  ",
    ],
)
def test_it_works(alice: User, text: str) -> None:
    start_job(alice, payload=PAYLOAD)
    assert found(text) == ["Weekly report"]


@pytest.mark.parametrize(
    "text",
    [
        "modelId=gpt-4",
        "modelId=GPT-4o",
        "steps.0.tool=HTTP_REQUEST",
        "HTTP_REQUEST=tool",
        "1.tool=HTTP_REQUEST",
        "steps=x",
        "modelId=gpt-4o limit=6",
        'modelId=""',
        "a.b=True",
    ],
)
def test_other_values(alice: User, text: str) -> None:
    start_job(alice, payload=PAYLOAD)
    assert found(text) == []


@pytest.mark.parametrize("text", ["gpt-4o", "=x", "a=1 b", " ".join(f"k{n}=1" for n in range(11))])
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(BadInput):
        conditions(text)


def test_a_document_is_found_in_every_type_of_job(alice: User) -> None:
    id = upload(alice, "Hello.").client_id
    steps = [{"name": "Read", "tool": "DOCUMENT_READ", "arguments": {"documentId": id}}]
    start_job(alice, payload={"workflowName": "Workflow", "steps": steps})
    for type, payload in (
        ("bulk-documents", {"documents": [{"id": id}]}),
        ("document-reprocess", {"documentIds": [id], "newChunkSize": 100, "newOverlap": 10}),
    ):
        start(alice, {"jobType": type, "payload": payload})
    start_job(alice)
    assert len(found(f"documentId={id}")) == 3
    assert len(found(f"documents.id={id}")) == 1
    assert found("documentId=other") == []


def test_odd_keys_and_values(alice: User) -> None:
    odd = {"json": {"ключ": "ключ", "a": ["", None, 1.5, 1e300, -0.0, "x" * 100_000], "\ud800": "\udfff", "": {"": 1}}}
    steps = [{"name": "Call", "tool": "EXTERNAL_WORKER", "arguments": {"worker": "w", "payload": odd}}]
    odd["json"].pop("\ud800")
    start_job(alice, payload={"workflowName": "Odd", "steps": steps})
    for text in ("ключ=ключ", "a=null", "a=1.5", 'a=""', "steps.0.arguments.payload.json.a.2=1.5"):
        assert found(text) == ["Odd"], text


def test_a_rerun_is_found_too(alice: User) -> None:
    job = start_job(alice, payload=PAYLOAD)
    complete_all(job)
    engine.cancel(job.pk, actor="alice")
    job.refresh_from_db()
    start_rerun(plan_rerun(job, {"payload": {**PAYLOAD, "modelId": "other"}}), actor="alice")
    assert len(found("modelId=other")) == 1
    assert len(found("limit=5")) == 2


def test_nothing_is_left_of_a_deleted_job(alice: User) -> None:
    job = start_job(alice)
    complete_all(job)
    assert engine.delete(job.pk, actor="alice")
    assert not JobInput.objects.exists()


def test_the_api_and_bulk_actions(alice: User, bob: User, as_alice: Client, as_bob: Client, as_charlie: Client) -> None:
    start_job(alice, payload=PAYLOAD)
    start_job(alice)

    def listed(client: Client, query: str) -> int:
        return len(client.get(f"/api/jobs?{query}").json()["jobs"])

    assert listed(as_alice, "input=modelId%3Dgpt-4o") == 1
    assert listed(as_alice, "input=modelId%3Dgpt-4o&status=failed") == 0
    assert listed(as_bob, "input=modelId%3Dgpt-4o&owner=all") == 0
    assert listed(as_charlie, "input=modelId%3Dgpt-4o&owner=all") == 1
    wrong = as_alice.get("/api/jobs?input=gpt-4o")
    assert wrong.status_code == 400
    assert wrong.json()["errors"][0]["attr"] == "input"
    assert "Write key=value" in wrong.json()["errors"][0]["detail"]
    body = {"action": "cancel", "filter": {"input": "modelId=gpt-4o"}, "dryRun": True}
    dry = as_alice.post("/api/jobs/bulk", body, content_type="application/json")
    assert dry.json()["matches"] == 1
    body["filter"] = {"input": "x"}
    assert as_alice.post("/api/jobs/bulk", body, content_type="application/json").status_code == 400


def test_the_page(alice: User, at_alice: Client) -> None:
    start_job(alice, payload=PAYLOAD)
    start_job(alice)
    shown = at_alice.get("/jobs/", {"input": "modelId=gpt-4o"}).content.decode()
    listed = shown[shown.index('id="job-list"') :]
    assert "Weekly report" in listed
    assert "Two steps" not in listed
    assert 'value="modelId=gpt-4o"' in shown
    wrong = at_alice.get("/jobs/", {"input": "gpt-4o"}).content.decode()
    assert "gpt-4o is not a condition. Write key=value" in wrong
    refused = at_alice.post("/jobs/bulk", {"action": "cancel", "all": "1", "input": "gpt-4o"}, follow=True)
    assert "is not a condition" in refused.content.decode(), "a wrong filter must not select every job"


@pytest.mark.parametrize("rare", [0, 1, 2])
def test_rare_and_frequent_values(alice: User, monkeypatch: pytest.MonkeyPatch, rare: int) -> None:
    """Both are found, each in its way."""
    monkeypatch.setattr(job_input, "RARE", rare)
    start_job(alice, payload=PAYLOAD)
    start_job(alice, payload=PAYLOAD)
    assert len(found("modelId=gpt-4o")) == 2
    assert found("modelId=other") == []


def test_the_index_serves_it(alice: User) -> None:
    start_job(alice, payload=PAYLOAD)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = JobInput.objects.filter(terms__contains=[1]).explain()
    assert "job_input_terms" in plan
