"""POST /api/workflow/update-step: its effects, and that refused requests have none."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ

from aiworkstation.access.models import ApiToken
from aiworkstation.audit import refused_requests
from aiworkstation.audit.models import AuditEvent
from tests.jobs.api.callbacks.conftest import (
    STEP,
    Configure,
    Start,
    audit_events,
    errors,
    hand_over,
    outside,
    send,
    state,
    step_of,
    token,
    update_of,
)
from tests.servers.outside_worker import signed
from tests.support.jobs import WORKER, claim, complete
from tests.support.turns import turn
from workflows import engine
from workflows.engine.claims import Claim
from workflows.engine.outcomes import Outcome
from workflows.errors import StepError, TryLater
from workflows.models import SeenWebhook, WorkflowExecution, WorkflowStep
from workflows.steps import NewStep

pytestmark = pytest.mark.django_db


def actions(execution: UUID) -> list[str]:
    return list(AuditEvent.objects.filter(execution_id=execution).order_by("id").values_list("action", flat=True))


def make_due(claim: Claim) -> Claim:
    """Starts the step's next attempt."""
    WorkflowStep.objects.filter(pk=claim.step_id).update(ready_at=timezone.now() - timedelta(seconds=1))
    (again,) = _claim(claim)
    return again


def _claim(done: Claim) -> list[Claim]:
    return claim(done.execution_id)


class TestWhatItDoes:
    def test_it_works(self, waiting: Claim) -> None:
        answer = send(update_of(waiting, "completed", output={"pages": 3}, message="all read"))
        assert answer.status_code == 200
        body = json.loads(answer.content)
        assert (body["stepId"], body["status"], body["progress"]) == (str(waiting.step_id), "completed", 100)
        assert (body["output"], body["message"], body["attempt"]) == ({"pages": 3}, "all read", 1)
        (behind,) = claim(waiting.execution_id)
        assert behind.name == "behind"
        happened = actions(waiting.execution_id)
        assert happened[-4:] == ["job.waiting", "step.completed", "callback.accepted", "step.started"]
        (event,) = audit_events("callback.accepted", waiting.execution_id)
        assert (event.actor, event.object) == ("outside worker", f"step:{waiting.step_id}")
        assert event.changes["status"] == "completed"

    def test_with_a_slash_at_the_end(self, waiting: Claim) -> None:
        assert send(update_of(waiting, "completed"), path=f"{STEP}/").status_code == 200

    def test_it_wakes_a_worker_up_for_what_stands_behind(self, waiting: Claim) -> None:
        assert not OrmQ.objects.exists()
        send(update_of(waiting, "completed"))
        assert OrmQ.objects.get().lock <= timezone.now()

    def test_the_job_waits_and_says_for_what(self, waiting: Claim, as_alice: Any) -> None:
        job = as_alice.get(f"/api/jobs/{waiting.execution_id}").json()
        assert (job["status"], job["steps"][0]["status"]) == ("waiting", "waiting")
        assert job["steps"][0]["nextAttemptAt"] is None
        assert job["waitingFor"].startswith('"outside" is waiting for an outside answer, until 20')

    @pytest.mark.parametrize("name", ["stepId", "stepIndex", "both"])
    def test_the_step_by_its_id_or_its_index(self, waiting: Claim, name: str) -> None:
        body = update_of(waiting, "completed", stepIndex=0)
        if name != "both":
            body.pop({"stepId": "stepIndex", "stepIndex": "stepId"}[name])
        assert send(body).status_code == 200
        assert step_of(waiting).status == "completed"

    def test_progress_restarts_the_clock(self, waiting: Claim) -> None:
        soon = timezone.now() + timedelta(seconds=1)
        WorkflowStep.objects.filter(pk=waiting.step_id).update(answer_by=soon)
        assert send(update_of(waiting, "running", progress=41.7, message="page 4 of 10")).status_code == 200
        step = step_of(waiting)
        assert (step.status, step.progress, step.message) == ("waiting", 41, "page 4 of 10")
        assert step.answer_by is not None
        assert step.answer_by > soon + timedelta(seconds=50)

    def test_progress_without_words_leaves_them(self, waiting: Claim) -> None:
        send(update_of(waiting, "running", progress=10, message="began"))
        send(update_of(waiting, "running"))
        assert (step_of(waiting).progress, step_of(waiting).message) == (10, "began")

    def test_the_clock_does_not_go_beyond_the_steps_own_limit(self, start: Start) -> None:
        execution = start(outside(timeout_seconds=30))
        (claimed,) = claim(execution.pk)
        hand_over(claimed, 3600)
        limit = step_of(claimed).started_at + timedelta(seconds=30)  # type: ignore[operator]
        assert step_of(claimed).answer_by == limit
        send(update_of(claimed, "running"))
        assert step_of(claimed).answer_by == limit

    def test_a_failure_is_an_attempt(self, waiting: Claim) -> None:
        error = {"code": "no_paper", "message": "out of paper"}
        assert send(update_of(waiting, "failed", error=error)).status_code == 200
        step = step_of(waiting)
        assert (step.status, step.error) == ("waiting", {**error, "retryable": True})
        assert step.ready_at is not None
        again = make_due(waiting)
        assert again.attempt == 2
        assert token(again) != token(waiting)

    def test_a_failure_for_good(self, waiting: Claim) -> None:
        error = {"code": "no_paper", "message": "out of paper", "retryable": False}
        send(update_of(waiting, "failed", error=error))
        execution = WorkflowExecution.objects.get(pk=waiting.execution_id)
        assert [step.status for step in execution.steps.all()] == ["failed", "skipped"]
        assert execution.status == "failed"

    @pytest.mark.parametrize(
        ("given", "message"),
        [({"error": "out of paper"}, "out of paper"), ({}, "without an error"), ({"error": None}, "without an error")],
    )
    def test_a_failure_in_few_words(self, waiting: Claim, given: dict[str, Any], message: str) -> None:
        send(update_of(waiting, "failed", **given))
        error = step_of(waiting).error
        assert error is not None
        assert (error["code"], error["retryable"]) == ("external_failed", True)
        assert message in error["message"]

    def test_without_a_token_the_first_attempt_can_be_answered(self, waiting: Claim) -> None:
        body = update_of(waiting, "completed")
        del body["callbackToken"]
        assert send(body).status_code == 200
        assert step_of(waiting).status == "completed"

    def test_secrets_that_were_sent_do_not_come_back(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECRET_PIN", "0815-4711")
        execution = start(outside(arguments={"payload": {"pin": "{{secret.PIN}}"}}))
        (claimed,) = claim(execution.pk)
        hand_over(claimed)
        answer = send(update_of(claimed, "completed", output={"pin": "0815-4711"}, message="used 0815-4711"))
        assert "0815" not in answer.content.decode()
        assert step_of(claimed).output == {"pin": "[secret]"}
        assert step_of(claimed).message == "used [secret]"


class TestWhenItComes:
    def test_before_the_worker_has_recorded_that_the_step_waits(self, start: Start) -> None:
        execution = start(outside(), NewStep("behind", depends_on=[0]))
        (claimed,) = claim(execution.pk)
        assert send(update_of(claimed, "running", progress=5, message="took it")).status_code == 200
        assert (step_of(claimed).status, step_of(claimed).progress) == ("running", 5)
        assert send(update_of(claimed, "completed", output=1)).status_code == 200
        worked = turn(WORKER, [Outcome.handed_over(claimed, 60)], [])
        assert worked.refused == []
        step = step_of(claimed)
        assert (step.status, step.output, step.answer_by) == ("completed", 1, None)
        assert actions(execution.pk).count("step.handed_over") == 0
        execution.refresh_from_db()
        assert (execution.steps_running, execution.steps_completed) == (0, 1)

    def test_a_request_that_broke_after_its_answer_changes_nothing(self, start: Start) -> None:
        execution = start(outside())
        (claimed,) = claim(execution.pk)
        send(update_of(claimed, "completed", output=1))
        turn(WORKER, [Outcome.failed(claimed, StepError("cut", retryable=False))], [])
        assert step_of(claimed).status == "completed"
        execution.refresh_from_db()
        assert execution.status == "completed"

    def test_after_a_crash_of_the_worker_that_had_posted_it(self, start: Start) -> None:
        execution = start(outside())
        (claimed,) = claim(execution.pk)
        WorkflowStep.objects.filter(pk=claimed.step_id).update(lease_until=timezone.now() - timedelta(seconds=1))
        assert engine.reap() == 1
        assert step_of(claimed).status == "ready"
        assert send(update_of(claimed, "completed", output=1)).status_code == 200
        assert (step_of(claimed).status, step_of(claimed).attempt) == ("completed", 1)
        assert not OrmQ.objects.exists()
        assert claim(execution.pk) == []

    def test_a_crash_posts_the_same_message_again(self, start: Start) -> None:
        execution = start(outside())
        (claimed,) = claim(execution.pk)
        WorkflowStep.objects.filter(pk=claimed.step_id).update(lease_until=timezone.now() - timedelta(seconds=1))
        engine.reap()
        (again,) = claim(execution.pk)
        assert token(again) == token(claimed)
        assert send(update_of(claimed, "completed", output=1)).status_code == 200

    def test_while_the_worker_waits_for_a_busy_receiver(self, start: Start) -> None:
        execution = start(outside())
        (claimed,) = claim(execution.pk)
        turn(WORKER, [Outcome.waiting(claimed, TryLater("busy"), 30.0)], [])
        assert send(update_of(claimed, "completed")).status_code == 200
        execution.refresh_from_db()
        assert execution.status == "completed"
        assert not OrmQ.objects.exists()


def _never_begun(claimed: Claim) -> dict[str, Any]:
    step = WorkflowStep.objects.get(execution=claimed.execution_id, index=1)
    return update_of(claimed._replace(step_id=step.pk), "completed")


def _of_a_model_step(claimed: Claim) -> dict[str, Any]:
    send(update_of(claimed, "completed"))
    (behind,) = claim(claimed.execution_id)
    return update_of(behind, "completed")


def _completed(claimed: Claim) -> dict[str, Any]:
    send(update_of(claimed, "completed"))
    return update_of(claimed, "failed")


def _cancelled(claimed: Claim) -> dict[str, Any]:
    engine.cancel(claimed.execution_id, actor="alice")
    return update_of(claimed, "completed")


def _retried(claimed: Claim) -> dict[str, Any]:
    engine.cancel(claimed.execution_id, actor="alice")
    engine.retry(claimed.execution_id, actor="alice")
    return update_of(claimed, "completed")


def _retried_and_posted_again(claimed: Claim) -> dict[str, Any]:
    body = _retried(claimed)
    hand_over(_claim(claimed)[0])
    return body


def _in_back_off(claimed: Claim) -> dict[str, Any]:
    send(update_of(claimed, "failed"))
    return update_of(claimed, "completed")


def _of_the_attempt_before(claimed: Claim) -> dict[str, Any]:
    send(update_of(claimed, "failed"))
    hand_over(make_due(claimed))
    return update_of(claimed, "completed")


def _second_attempt_without_token(claimed: Claim) -> dict[str, Any]:
    body = _of_the_attempt_before(claimed)
    del body["callbackToken"]
    return body


def _wrong_token(claimed: Claim) -> dict[str, Any]:
    return update_of(claimed, "completed") | {"callbackToken": "f" * 64}


def _empty_token(claimed: Claim) -> dict[str, Any]:
    return update_of(claimed, "completed") | {"callbackToken": "x"}


@pytest.mark.parametrize("status", ["running", "completed", "failed"])
@pytest.mark.parametrize(
    "situation",
    [
        _never_begun,
        _of_a_model_step,
        _completed,
        _cancelled,
        _retried,
        _retried_and_posted_again,
        _in_back_off,
        _of_the_attempt_before,
        _second_attempt_without_token,
        _wrong_token,
        _empty_token,
    ],
)
def test_an_answer_that_is_not_expected(
    waiting: Claim, situation: Callable[[Claim], dict[str, Any]], status: str
) -> None:
    body = situation(waiting) | {"status": status}
    before = state()
    answer = send(body)
    assert answer.status_code == 409
    assert errors(answer)["code"] == "wrong_state"
    assert state() == before
    (event,) = audit_events("callback.refused", waiting.execution_id)
    assert event.object == f"step:{body['stepId']}"
    assert event.changes["code"] == 409
    assert "is not waiting" in event.changes["reason"]
    assert not audit_events("request.refused")


class TestSignatures:
    def refused(self, headers: dict[str, str] | None = None, body: Any = None, **signing: Any) -> str:
        before = state()
        answer = send(body, headers=headers, **signing)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("StandardWebhooks")
        assert state() == before
        (event,) = audit_events("callback.refused")
        assert (event.actor, event.object) == ("anonymous", f"path:{STEP}")
        assert not audit_events("request.refused")
        assert event.changes["reason"] == errors(answer)["detail"]
        return str(event.changes["reason"])

    def test_none(self, waiting: Claim) -> None:
        assert "headers" in self.refused({}, update_of(waiting, "completed"))

    def test_of_another_secret(self, waiting: Claim) -> None:
        other = "b3RoZXIgYnl0ZXMgdGhhbiB0aG9zZSBvZiB0aGUgdGVzdHM="
        assert "signature" in self.refused(body=update_of(waiting, "completed"), secret=other)

    def test_of_another_body(self, waiting: Claim) -> None:
        _, headers = signed(update_of(waiting, "running"))
        assert "signature" in self.refused(headers, update_of(waiting, "completed"))

    def test_of_another_id(self, waiting: Claim) -> None:
        _, headers = signed(update_of(waiting, "completed"))
        self.refused(headers | {"webhook-id": "msg_other"}, update_of(waiting, "completed"))

    @pytest.mark.parametrize(("minutes", "word"), [(-6, "old"), (6, "new")])
    def test_of_another_time(self, waiting: Claim, minutes: int, word: str) -> None:
        at = datetime.now(UTC) + timedelta(minutes=minutes)
        assert word in self.refused(body=update_of(waiting, "completed"), at=at)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"webhook-signature": "v1"},
            {"webhook-signature": "v1,?"},
            {"webhook-signature": "v2,AAAA"},
            {"webhook-signature": "v1,a,b"},
            {"webhook-timestamp": "now"},
            {"webhook-timestamp": "nan"},
            {"webhook-timestamp": "1e400"},
        ],
    )
    def test_bodies_that_cannot_be_read(self, waiting: Claim, wrong: dict[str, str]) -> None:
        _, headers = signed(update_of(waiting, "completed"))
        self.refused(headers | wrong, update_of(waiting, "completed"))

    def test_one_good_signature_of_several_is_enough(self, waiting: Claim) -> None:
        _, headers = signed(update_of(waiting, "completed"))
        several = {"webhook-signature": f"v1,AAAA {headers['webhook-signature']}"}
        assert send(update_of(waiting, "completed"), headers=headers | several).status_code == 200

    def test_without_a_callback_secret_nobody_is_believed(self, waiting: Claim, configure: Configure) -> None:
        configure(callback_secret="")
        assert "CALLBACK_SECRET" in self.refused(body=update_of(waiting, "completed"))

    def test_a_bearer_token_is_no_signature(self, waiting: Claim, alice: User) -> None:
        _, text = ApiToken.issue(alice)
        self.refused({"authorization": f"Bearer {text}"}, update_of(waiting, "completed"))

    def test_an_id_that_is_too_long(self, waiting: Claim) -> None:
        assert "longer" in self.refused(body=update_of(waiting, "completed"), id="x" * 256)

    def test_anonymous_callers_do_not_fill_the_audit_trail(self, waiting: Claim) -> None:
        for _ in range(65):
            assert send(update_of(waiting, "completed"), headers={}).status_code == 401
        assert len(audit_events("callback.refused")) == 60
        assert not audit_events("request.refused")
        refused_requests.anonymous_events.record_dropped()
        (dropped,) = audit_events("refusals.dropped")
        assert dropped.changes == {"count": 5, "actions": {"callback.refused": 5}, "seconds": 60.0}


class TestDeliveriesThatOvertakeEachOther:
    """`reports` are (seconds after the first signature, progress, message), in the order in which they arrive."""

    @pytest.mark.parametrize(
        ("reports", "shown", "ignored"),
        [
            ([(0, 90, "late"), (-5, 10, "early")], (90, "late"), 1),
            ([(0, 90, "late"), (-5, None, "early")], (90, "late"), 1),
            ([(0, None, "late"), (-5, 10, None)], (0, "late"), 1),
            ([(0, 10, "one"), (0, 90, "two")], (90, "two"), 0),
            ([(0, 90, "two"), (0, 10, "one")], (90, "two"), 1),
            ([(0, 90, "one"), (0, None, "two")], (90, "two"), 0),
            ([(0, 90, "wrong"), (1, 10, "began again")], (10, "began again"), 0),
            ([(0, 20, "b"), (-2, 10, "a"), (2, 40, "d"), (1, 30, "c")], (40, "d"), 2),
        ],
    )
    def test_the_signature_orders_them(
        self, waiting: Claim, reports: list[Any], shown: tuple[int, str], ignored: int
    ) -> None:
        first = datetime.now(UTC)
        for seconds, progress, message in reports:
            update = update_of(waiting, "running", progress=progress, message=message)
            answer = send(update, at=first + timedelta(seconds=seconds))
            assert answer.status_code == 200
        assert (json.loads(answer.content)["progress"], json.loads(answer.content)["message"]) == shown
        assert (step_of(waiting).progress, step_of(waiting).message) == shown
        assert len(audit_events("callback.ignored", waiting.execution_id)) == ignored
        assert len(audit_events("callback.accepted", waiting.execution_id)) == len(reports) - ignored

    def test_a_fraction_of_a_second_is_not_signed(self, waiting: Claim) -> None:
        at = datetime.now(UTC)
        send(update_of(waiting, "running", progress=90), at=at)
        text, headers = signed(update_of(waiting, "running", progress=10), at=at)
        headers["webhook-timestamp"] += ".9"
        assert send(text, headers=headers).status_code == 200
        assert step_of(waiting).progress == 90

    @pytest.mark.parametrize("status", ["completed", "failed"])
    def test_an_end_counts_whenever_it_was_signed(self, waiting: Claim, status: str) -> None:
        send(update_of(waiting, "running", progress=90, message="late"))
        earlier = datetime.now(UTC) - timedelta(seconds=5)
        assert send(update_of(waiting, status, message="early"), at=earlier).status_code == 200
        assert (step_of(waiting).status, step_of(waiting).message) == (
            {"completed": "completed", "failed": "waiting"}[status],
            "late",
        )
        assert not audit_events("callback.ignored", waiting.execution_id)

    def test_an_overtaken_report_is_a_sign_of_life(self, waiting: Claim) -> None:
        send(update_of(waiting, "running", progress=90))
        soon = timezone.now() + timedelta(seconds=1)
        WorkflowStep.objects.filter(pk=waiting.step_id).update(answer_by=soon)
        send(update_of(waiting, "running", progress=10), at=datetime.now(UTC) - timedelta(seconds=5))
        assert step_of(waiting).answer_by > soon + timedelta(seconds=50)  # type: ignore[operator]

    def test_a_new_attempt_resets_them(self, waiting: Claim) -> None:
        """The next attempt may be reported by a machine whose clock is behind."""
        send(update_of(waiting, "running", progress=90), at=datetime.now(UTC) + timedelta(seconds=60))
        send(update_of(waiting, "failed"))
        again = make_due(waiting)
        hand_over(again)
        send(update_of(again, "running", progress=10))
        assert step_of(again).progress == 10

    def test_a_users_retry_resets_them(self, waiting: Claim) -> None:
        send(update_of(waiting, "running", progress=90), at=datetime.now(UTC) + timedelta(seconds=60))
        engine.cancel(waiting.execution_id, actor="alice")
        engine.retry(waiting.execution_id, actor="alice")
        (again,) = _claim(waiting)
        send(update_of(again, "running", progress=10))
        assert step_of(again).progress == 10

    def test_a_report_after_the_end_changes_nothing(self, waiting: Claim) -> None:
        body = update_of(waiting, "running", progress=90)
        send(body, id="msg_1")
        send(update_of(waiting, "completed", output=1))
        before = state()
        assert json.loads(send(body, id="msg_1").content) == {"duplicate": True}
        assert send(body, id="msg_2", at=datetime.now(UTC) - timedelta(seconds=5)).status_code == 409
        assert state() == before
        assert step_of(waiting).progress == 100


class TestReplays:
    def test_a_second_time_changes_nothing(self, waiting: Claim) -> None:
        assert send(update_of(waiting, "failed"), id="msg_1").status_code == 200
        hand_over(make_due(waiting))
        before = state()
        answer = send(update_of(waiting, "failed"), id="msg_1")
        assert (answer.status_code, json.loads(answer.content)) == (200, {"duplicate": True})
        assert state() == before
        (event,) = audit_events("callback.duplicate", waiting.execution_id)
        assert event.changes["webhookId"] == "msg_1"

    def test_a_refused_callback_may_come_again(self, start: Start) -> None:
        execution = start(outside())
        body: dict[str, Any] = {"executionId": str(execution.pk), "stepIndex": 0, "status": "completed"}
        assert send(body, id="msg_1").status_code == 409
        hand_over(claim(execution.pk)[0])
        assert send(body, id="msg_1").status_code == 200
        assert execution.steps.get().status == "completed"

    def test_an_effect_that_was_lost_may_come_again(self, waiting: Claim) -> None:
        with patch("jobs.api.callbacks.Callback.record", side_effect=RuntimeError), pytest.raises(RuntimeError):
            send(update_of(waiting, "completed"), id="msg_1")
        assert step_of(waiting).status == "waiting"
        assert send(update_of(waiting, "completed"), id="msg_1").status_code == 200
        assert step_of(waiting).status == "completed"

    def test_ids_are_kept_for_a_day(self) -> None:
        SeenWebhook.remember("old")
        SeenWebhook.remember("new")
        SeenWebhook.objects.filter(pk="old").update(seen_at=timezone.now() - timedelta(hours=25))
        SeenWebhook.prune()
        assert [seen.pk for seen in SeenWebhook.objects.all()] == ["new"]

    @pytest.mark.django_db(transaction=True)
    def test_many_at_the_same_time_take_effect_once(self, waiting: Claim) -> None:
        body = update_of(waiting, "running", progress=10)
        answers: list[Any] = []

        def call() -> None:
            answers.append(json.loads(send(body, id="msg_1").content))
            connection.close()

        threads = [threading.Thread(target=call) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted("duplicate" in answer for answer in answers) == [False] + [True] * 5
        assert len(audit_events("callback.accepted", waiting.execution_id)) == 1
        assert len(audit_events("callback.duplicate", waiting.execution_id)) == 5


def _without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda body: {key: value for key, value in body.items() if key != name}


class TestBadBodies:
    @pytest.mark.parametrize(
        ("change", "attr"),
        [
            (_without("executionId"), "executionId"),
            (_without("stepId"), "stepId"),
            (_without("status"), "status"),
            (lambda body: body | {"status": "cancelled"}, "status"),
            (lambda body: body | {"stepIndex": -1}, "stepIndex"),
            (lambda body: body | {"stepIndex": "0"}, "stepIndex"),
            (lambda body: body | {"progress": 101}, "progress"),
            (lambda body: body | {"progress": "half"}, "progress"),
            (lambda body: body | {"message": 5}, "message"),
            (lambda body: body | {"status": "running", "output": 1}, "output"),
            (lambda body: body | {"error": "no"}, "error"),
            (lambda body: body | {"status": "failed", "error": {"text": "no"}}, "error.text"),
            (lambda body: body | {"status": "failed", "error": ["no"]}, "error.message"),
            (lambda body: body | {"stranger": 1}, "stranger"),
            (lambda body: [body], "nonFieldErrors"),
            (lambda body: "{", None),
        ],
    )
    def test_it_is_named(self, waiting: Claim, change: Callable[[dict[str, Any]], Any], attr: str | None) -> None:
        before = state()
        answer = send(change(update_of(waiting, "completed")))
        assert answer.status_code == 400
        assert attr in [error["attr"] for error in json.loads(answer.content)["errors"]]
        assert state() == before
        assert [event.changes["code"] for event in AuditEvent.objects.filter(action="callback.refused")] == [400]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"executionId": "019aa3f0-0000-7000-8000-000000000000"},
            {"executionId": "none"},
            {"stepId": "019aa3f0-0000-7000-8000-000000000000"},
            {"stepId": "none"},
            {"stepIndex": 1},
            {"stepIndex": 7},
        ],
    )
    def test_not_found(self, waiting: Claim, wrong: dict[str, Any]) -> None:
        before = state()
        assert send(update_of(waiting, "completed") | wrong).status_code == 404
        assert state() == before
        assert [event.changes["code"] for event in AuditEvent.objects.filter(action="callback.refused")] == [404]

    def test_a_step_of_another_job(self, waiting: Claim, start: Start) -> None:
        other = start(outside())
        assert send(update_of(waiting, "completed") | {"executionId": str(other.pk)}).status_code == 404

    def test_an_output_that_is_nested_too_deeply(self, waiting: Claim) -> None:
        output: Any = 1
        for _ in range(500):
            output = [output]
        answer = send(update_of(waiting, "completed", output=output))
        assert answer.status_code == 400
        assert "nested 501 levels deep" in errors(answer)["detail"]
        assert step_of(waiting).status == "waiting"

    def test_texts_that_are_not_json(self, waiting: Claim) -> None:
        text, headers = signed(update_of(waiting, "completed"))
        answer = send(text, headers=headers | {"content-type": "text/plain"})
        assert answer.status_code == 415
        assert step_of(waiting).status == "waiting"

    def test_a_long_message_is_cut(self, waiting: Claim) -> None:
        assert send(update_of(waiting, "running", message="x" * 600)).status_code == 200
        assert step_of(waiting).message == "x" * 500

    def test_only_posts(self, client: Any) -> None:
        assert client.get(STEP, headers={}).status_code == 401


def test_another_users_jobs_are_reached_by_the_signature_alone(waiting: Claim, as_bob: Any) -> None:
    assert as_bob.get(f"/api/jobs/{waiting.execution_id}").status_code == 404
    assert send(update_of(waiting, "completed")).status_code == 200


def test_a_model_step_that_completed_stays_as_it_is(waiting: Claim) -> None:
    send(update_of(waiting, "completed"))
    (behind,) = claim(waiting.execution_id)
    complete(behind, {"text": "done"})
    assert send(update_of(behind, "failed")).status_code == 409
    assert step_of(behind).output == {"text": "done"}
