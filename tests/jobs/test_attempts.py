"""GET /api/jobs/<jobId>/steps/<stepId>: a step with its attempts."""

from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from tests.support.jobs import WORKER, claim, complete, fail, start_job
from tests.support.turns import turn
from workflows import engine
from workflows.engine.outcomes import Outcome
from workflows.errors import StepError, TryLater
from workflows.models import WorkflowExecution, WorkflowStep

USAGE = {"inputTokens": 812, "outputTokens": 96, "costUsd": "0.0030"}


def first_step(client: Client, job: WorkflowExecution) -> dict[str, Any]:
    step = WorkflowStep.objects.get(execution=job, index=0)
    response = client.get(f"/api/jobs/{job.pk}/steps/{step.pk}")
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def due(job: WorkflowExecution) -> None:
    WorkflowStep.objects.filter(execution=job, status="waiting").update(ready_at="2020-01-01T00:00:00Z")


def test_it_works(as_alice: Client, alice: User) -> None:
    job = start_job(alice)
    assert first_step(as_alice, job)["attempts"] == []
    fail(claim(job.pk)[0], "busy", retryable=True)
    due(job)
    (second,) = claim(job.pk)
    running = first_step(as_alice, job)["attempts"]
    assert [(each["attempt"], each["status"], each["finishedAt"] is None) for each in running] == [
        (1, "failed", False),
        (2, "running", True),
    ]
    complete(second, "done", model="gpt-4o", usage=USAGE)
    step = first_step(as_alice, job)
    one, two = step["attempts"]
    assert one == {
        "attempt": 1,
        "status": "failed",
        "error": {"code": "failed", "message": "busy", "retryable": True},
        "startedAt": one["startedAt"],
        "finishedAt": one["finishedAt"],
        "worker": WORKER.name,
        "usage": None,
    }
    assert (two["attempt"], two["status"], two["error"], two["usage"]) == (2, "completed", None, USAGE)
    assert one["startedAt"] <= one["finishedAt"] <= two["startedAt"] <= two["finishedAt"]
    listed = as_alice.get(f"/api/jobs/{job.pk}/steps").json()["steps"][0]
    assert {name: value for name, value in step.items() if name != "attempts"} == listed


def test_a_wait_and_a_lost_worker_are_no_attempts(as_alice: Client, alice: User) -> None:
    job = start_job(alice)
    turn(WORKER, [Outcome.of_error(claim(job.pk)[0], TryLater("busy", code="http_429", delay=5))], [])
    (attempt,) = first_step(as_alice, job)["attempts"]
    assert (attempt["attempt"], attempt["status"], attempt["error"]["code"]) == (1, "waiting", "http_429")
    due(job)
    turn(WORKER, [Outcome.returned(claim(job.pk)[0])], [])
    complete(claim(job.pk)[0], "done")
    (attempt,) = first_step(as_alice, job)["attempts"]
    assert (attempt["attempt"], attempt["status"], attempt["error"]) == (1, "completed", None)


def test_a_cancelled_attempt_and_a_retry_by_a_user(as_alice: Client, alice: User) -> None:
    job = start_job(alice)
    claim(job.pk)
    engine.cancel(job.pk, actor="alice")
    (attempt,) = first_step(as_alice, job)["attempts"]
    assert (attempt["status"], attempt["finishedAt"] is None) == ("cancelled", False)
    engine.retry(job.pk, actor="alice")
    complete(claim(job.pk)[0], "done")
    assert [each["status"] for each in first_step(as_alice, job)["attempts"]] == ["cancelled", "completed"]


def test_a_cancelled_wait_for_the_next_attempt_leaves_the_failed_one(as_alice: Client, alice: User) -> None:
    job = start_job(alice)
    turn(WORKER, [Outcome.failed(claim(job.pk)[0], StepError("busy"))], [])
    engine.cancel(job.pk, actor="alice")
    assert [each["status"] for each in first_step(as_alice, job)["attempts"]] == ["failed"]


def test_not_modified_and_unknown(as_alice: Client, alice: User) -> None:
    job = start_job(alice)
    (step,) = claim(job.pk)
    url = f"/api/jobs/{job.pk}/steps/{step.step_id}"
    tag = as_alice.get(url)["ETag"]
    assert as_alice.get(url, headers={"if-none-match": tag}).status_code == 304
    complete(step)
    assert as_alice.get(url, headers={"if-none-match": tag}).status_code == 200
    assert as_alice.get(f"/api/jobs/{job.pk}/steps/nonsense").status_code == 404
    assert as_alice.get(f"/api/jobs/{job.pk}/steps/{job.pk}").status_code == 404
