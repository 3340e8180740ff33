"""GET /api/jobs/<id> and GET /api/jobs?jobId="""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aiworkstation.audit.models import AuditEvent
from tests.support.jobs import claim, complete, complete_all, fail, start_job
from workflows import engine
from workflows.models import WorkflowExecution, WorkflowStep

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def get(client: Client, execution: WorkflowExecution) -> dict[str, Any]:
    response = client.get(f"/api/jobs/{execution.pk}")
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def test_it_works(as_alice: Client, alice: User) -> None:
    execution = start_job(alice)
    usage = {"inputTokens": 812, "outputTokens": 96, "costUsd": "0.0030"}
    first = claim(execution.pk)[0]
    complete(first, {"text": "one"}, model="gpt-4o", usage=usage)
    claim(execution.pk)
    WorkflowStep.objects.filter(index=1).update(progress=51, message="2.1 kB written")
    job = get(as_alice, execution)
    keys = (
        "jobId jobType name description owner status waitingFor mode modelId projectId tags priority progress"
        " output error usage rerunOf reused workflow workflowVersion isFinished createdAt startedAt finishedAt"
        " durationMs payload steps stepsNextCursor"
    )
    assert " ".join(job) == keys
    assert (job["status"], job["waitingFor"], job["owner"]) == ("running", None, "alice")
    assert (job["mode"], job["modelId"], job["projectId"]) == ("General", None, None)
    assert job["progress"] == {
        "total": 2,
        "completed": 1,
        "failed": 0,
        "percent": 75,
        "message": "Two: 2.1 kB written",
    }
    assert job["usage"] == usage
    assert TIME.fullmatch(job["startedAt"])
    one, two = job["steps"]
    assert one["output"] == {"text": "one"}
    assert (one["model"], one["usage"], one["progress"]) == ("gpt-4o", usage, 100)
    assert isinstance(one["durationMs"], int)
    assert (two["dependsOn"], two["status"], two["attempt"]) == (["One"], "running", 1)
    assert (two["durationMs"], two["nextAttemptAt"], two["usage"]) == (None, None, None)
    assert job["stepsNextCursor"] is None


def test_it_answers_by_query_too(as_alice: Client, alice: User) -> None:
    execution = start_job(alice)
    response = as_alice.get(f"/api/jobs?type=workflow&jobId={execution.pk}")
    assert response.json() == get(as_alice, execution)
    assert as_alice.get(f"/api/jobs?type=bulk-documents&jobId={execution.pk}").status_code == 404


@pytest.mark.parametrize("path", ["", "/steps", "/events"])
def test_others_are_refused(as_bob: Client, as_charlie: Client, alice: User, path: str) -> None:
    execution = start_job(alice)
    response = as_bob.get(f"/api/jobs/{execution.pk}{path}")
    assert response.status_code == 404
    assert response.json() == {
        "type": "client_error",
        "errors": [{"code": "not_found", "detail": "Not found.", "attr": None}],
    }
    assert as_bob.get(f"/api/jobs?jobId={execution.pk}").status_code == 404
    assert as_charlie.get(f"/api/jobs/{execution.pk}{path}").status_code == 200
    refused = AuditEvent.objects.filter(action="request.refused").first()
    assert refused is not None
    assert (refused.actor, refused.object) == ("bob", f"job:{execution.pk}")


@pytest.mark.parametrize("id", ["nonsense", "00000000-0000-0000-0000-000000000000", "%00", "A" * 500])
def test_not_found(as_alice: Client, id: str) -> None:
    assert as_alice.get(f"/api/jobs/{id}").status_code == 404
    assert not AuditEvent.objects.filter(action="request.refused").exists()


def test_completed(as_alice: Client, alice: User) -> None:
    execution = start_job(alice)
    complete_all(execution, {"text": "the report"})
    job = get(as_alice, execution)
    assert (job["status"], job["isFinished"], job["output"]) == ("completed", True, {"text": "the report"})
    assert job["progress"]["percent"] == 100
    assert job["waitingFor"] is None
    assert job["durationMs"] >= 0


def test_a_step_at_100_percent_does_not_finish_the_job(as_alice: Client, alice: User) -> None:
    execution = start_job(alice, payload={"workflowName": "w", "steps": [{"name": "only"}]})
    claim(execution.pk)
    WorkflowStep.objects.update(progress=100)
    assert get(as_alice, execution)["progress"]["percent"] == 99


def test_failed(as_alice: Client, alice: User) -> None:
    execution = start_job(alice)
    fail(claim(execution.pk)[0], "no such thing")
    job = get(as_alice, execution)
    assert job["status"] == "failed"
    assert job["error"] == {"code": "failed", "message": "no such thing", "retryable": False}
    assert job["progress"] == {"total": 2, "completed": 0, "failed": 1, "percent": 100, "message": ""}
    assert [step["status"] for step in job["steps"]] == ["failed", "skipped"]
    assert job["output"] is None


def test_the_cost_is_unknown_if_one_step_does_not_know_its_cost(as_alice: Client, alice: User) -> None:
    execution = start_job(alice)
    known = {"inputTokens": 1, "outputTokens": 2, "costUsd": "0.0001"}
    complete(claim(execution.pk)[0], "x", usage=known)
    complete(claim(execution.pk)[0], "y", usage=known | {"costUsd": None})
    assert get(as_alice, execution)["usage"] == {"inputTokens": 2, "outputTokens": 4, "costUsd": None}


def test_not_modified(as_alice: Client, alice: User) -> None:
    execution = start_job(alice)
    address = f"/api/jobs/{execution.pk}"
    tag = as_alice.get(address)["ETag"]

    def is_unchanged() -> bool:
        return as_alice.get(address, headers={"if-none-match": tag}).status_code == 304

    assert is_unchanged()
    start_job(alice, priority="high")
    assert is_unchanged()
    claim(execution.pk)
    assert not is_unchanged()
    tag = as_alice.get(address)["ETag"]
    WorkflowStep.objects.filter(index=0).update(message="it grows")
    assert not is_unchanged()


def test_cancelled_before_it_began(as_alice: Client, alice: User) -> None:
    execution = start_job(alice)
    engine.cancel(execution.pk, actor="alice")
    job = get(as_alice, execution)
    assert (job["status"], job["startedAt"], job["durationMs"], job["error"]) == ("cancelled", None, 0, None)
