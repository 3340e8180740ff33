"""POST /api/workflow/update-execution: completed, failed, cancelled."""

import json
from typing import Any

import pytest
from django.http import HttpResponse
from django_q.models import OrmQ

from aiworkstation.audit.models import AuditEvent
from tests.jobs.api.callbacks.conftest import (
    EXECUTION,
    Start,
    audit_events,
    errors,
    hand_over,
    outside,
    send,
    state,
    update_of,
)
from tests.support.jobs import claim, complete
from workflows import engine
from workflows.engine.claims import Claim
from workflows.models import WorkflowExecution
from workflows.steps import NewStep

pytestmark = pytest.mark.django_db


def end(claimed: Claim, status: str, *, id: str = "", **more: Any) -> HttpResponse:
    return send({"executionId": str(claimed.execution_id), "status": status, **more}, path=EXECUTION, id=id)


def job_of(claimed: Claim) -> WorkflowExecution:
    return WorkflowExecution.objects.get(pk=claimed.execution_id)


def test_failed_ends_the_job_and_cancels_what_is_not_done(start: Start) -> None:
    execution = start(NewStep("first"), outside(depends_on=[0]), NewStep("behind", depends_on=[1]), NewStep("beside"))
    first, beside = claim(execution.pk, 2)
    complete(first, "kept")
    (claimed,) = claim(execution.pk)
    hand_over(claimed)
    error = {"code": "no_paper", "message": "out of paper", "retryable": False}
    answer = end(beside, "failed", error=error)
    assert answer.status_code == 200
    body = json.loads(answer.content)
    assert (body["jobId"], body["status"], body["error"], body["isFinished"]) == (
        str(execution.pk),
        "failed",
        error,
        True,
    )
    assert "steps" not in body, "the other steps are not the worker's"
    steps = list(execution.steps.order_by("index"))
    assert [step.status for step in steps] == ["completed", "cancelled", "cancelled", "cancelled"]
    assert [step.error for step in steps] == [None, error, error, error]
    execution.refresh_from_db()
    assert (execution.steps_finished, execution.steps_running, execution.steps_failed) == (4, 0, 0)
    assert not OrmQ.objects.exists()
    assert [event.actor for event in audit_events("job.failed", execution.pk)] == ["outside worker"]
    (event,) = audit_events("callback.accepted", execution.pk)
    assert event.object == f"job:{execution.pk}"


def test_a_job_that_was_failed_from_outside_can_be_retried(waiting: Claim) -> None:
    end(waiting, "failed")
    assert job_of(waiting).error["code"] == "external_failed"  # type: ignore[index]
    assert engine.retry(waiting.execution_id, actor="alice")
    assert [step.status for step in job_of(waiting).steps.all()] == ["ready", "pending"]
    assert job_of(waiting).error is None


@pytest.mark.parametrize("error", [None, {"code": "unwanted", "message": "not wanted any more", "retryable": False}])
def test_cancelled(waiting: Claim, error: dict[str, Any] | None) -> None:
    assert end(waiting, "cancelled", error=error).status_code == 200
    assert (job_of(waiting).status, job_of(waiting).error) == ("cancelled", error)
    assert {step.status for step in job_of(waiting).steps.all()} == {"cancelled"}
    assert send(update_of(waiting, "completed")).status_code == 409


def test_completed_is_true_when_every_step_is_done(waiting: Claim) -> None:
    before = state()
    answer = end(waiting, "completed", id="msg_1")
    assert answer.status_code == 409
    assert state() == before
    (event,) = audit_events("callback.refused", waiting.execution_id)
    assert "Some steps of the job are not completed" in event.changes["reason"]
    send(update_of(waiting, "completed"))
    complete(claim(waiting.execution_id)[0])
    assert job_of(waiting).status == "completed"
    answer = end(waiting, "completed", id="msg_1")
    assert (answer.status_code, json.loads(answer.content)["status"]) == (200, "completed")


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_job_that_has_ended_otherwise(waiting: Claim, status: str) -> None:
    engine.cancel(waiting.execution_id, actor="alice")
    before = state()
    answer = end(waiting, status)
    assert (answer.status_code, errors(answer)["code"]) == (409, "wrong_state")
    assert state() == before
    assert len(audit_events("callback.refused", waiting.execution_id)) == 1


def test_a_replay(waiting: Claim) -> None:
    end(waiting, "failed", id="msg_1")
    engine.retry(waiting.execution_id, actor="alice")
    before = state()
    answer = end(waiting, "failed", id="msg_1")
    assert (answer.status_code, json.loads(answer.content)) == (200, {"duplicate": True})
    assert state() == before
    assert len(audit_events("callback.duplicate", waiting.execution_id)) == 1


def test_a_bad_signature(waiting: Claim) -> None:
    before = state()
    body = {"executionId": str(waiting.execution_id), "status": "failed"}
    assert send(body, path=EXECUTION, headers={}).status_code == 401
    assert state() == before
    assert len(audit_events("callback.refused")) == 1


@pytest.mark.parametrize(
    ("wrong", "status", "attr"),
    [
        ({"executionId": "none"}, 404, None),
        ({"executionId": None}, 400, "executionId"),
        ({"status": "running"}, 400, "status"),
        ({"status": "completed", "error": "no"}, 400, "error"),
        ({"stepId": "x"}, 400, "stepId"),
    ],
)
def test_a_bad_body(waiting: Claim, wrong: dict[str, Any], status: int, attr: str | None) -> None:
    before = state()
    answer = send({"executionId": str(waiting.execution_id), "status": "failed"} | wrong, path=EXECUTION)
    assert (answer.status_code, errors(answer)["attr"]) == (status, attr)
    assert state() == before
    assert [event.changes["code"] for event in AuditEvent.objects.filter(action="callback.refused")] == [status]


def test_secrets_that_were_sent_do_not_come_back(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_PIN", "0815-4711")
    execution = start(outside(arguments={"payload": {"pin": "{{secret.PIN}}"}}))
    (claimed,) = claim(execution.pk)
    assert "0815" not in end(claimed, "failed", error="0815-4711 was wrong").content.decode()
    assert job_of(claimed).error["message"] == "[secret] was wrong"  # type: ignore[index]
