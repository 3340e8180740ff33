"""An outside worker that stays silent: the attempt fails, and no worker claims the step in the meantime."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django_q.models import OrmQ

from tests.jobs.api.callbacks.conftest import Start, audit_events, hand_over, outside, send, step_of, token, update_of
from tests.support.jobs import WORKER, claim
from tests.support.turns import turn
from workflows import engine
from workflows.engine.claims import Claim
from workflows.engine.outside_answers import SILENT
from workflows.engine.turn import Demand
from workflows.models import WorkflowExecution, WorkflowStep
from workflows.steps import NewStep
from workflows.worker.maintenance import Maintenance

pytestmark = pytest.mark.django_db


def let_time_pass(*claims: Claim) -> None:
    past = timezone.now() - timedelta(seconds=1)
    WorkflowStep.objects.filter(pk__in=[each.step_id for each in claims]).update(answer_by=past)


def test_a_waiting_step_is_not_claimed_even_after_its_deadline(waiting: Claim) -> None:
    assert not OrmQ.objects.exists()
    assert engine.stranded() == []
    let_time_pass(waiting)
    assert claim(waiting.execution_id) == []
    assert turn(WORKER, [], [Demand("async", 5)]).claims == []


def test_it_is_a_failed_attempt(waiting: Claim) -> None:
    assert engine.end_silence() == 0
    let_time_pass(waiting)
    assert engine.end_silence() == 1
    step = step_of(waiting)
    assert step.error is not None
    assert (step.status, step.error["code"], step.answer_by) == ("waiting", "no_answer", None)
    assert OrmQ.objects.get().lock == step.ready_at
    assert engine.end_silence() == 0
    assert send(update_of(waiting, "completed")).status_code == 409
    (event,) = audit_events("step.retry_scheduled", waiting.execution_id)
    assert event.actor == "engine"


def test_the_next_attempt_has_another_token(waiting: Claim) -> None:
    let_time_pass(waiting)
    engine.end_silence()
    WorkflowStep.objects.filter(pk=waiting.step_id).update(ready_at=timezone.now())
    (again,) = claim(waiting.execution_id)
    assert (again.attempt, again.crashes) == (2, 0)
    hand_over(again)
    assert token(again) != token(waiting)
    assert send(update_of(waiting, "completed")).status_code == 409
    assert send(update_of(again, "completed")).status_code == 200


def test_the_last_attempt_ends_the_step(start: Start) -> None:
    execution = start(outside(max_attempts=1), NewStep("behind", depends_on=[0]))
    (claimed,) = claim(execution.pk)
    hand_over(claimed)
    let_time_pass(claimed)
    engine.end_silence()
    execution.refresh_from_db()
    assert [step.status for step in execution.steps.all()] == ["failed", "skipped"]
    assert execution.status == "failed"


def test_several_jobs_and_steps_at_once(start: Start) -> None:
    late = []
    for _ in range(3):
        execution = start(outside("a"), outside("b"), outside("c"))
        a, b, c = claim(execution.pk, 3)
        for each in (a, b, c):
            hand_over(each)
        let_time_pass(a, b)
        late += [a, b]
    assert engine.end_silence() == 6
    assert {step_of(each).status for each in late} == {"waiting"}
    assert WorkflowStep.objects.filter(answer_by__isnull=False).count() == 3


def test_an_answer_in_time_is_no_silence(waiting: Claim) -> None:
    let_time_pass(waiting)
    assert send(update_of(waiting, "running")).status_code == 200
    assert engine.end_silence() == 0
    assert step_of(waiting).status == "waiting"


def test_the_maintenance_ends_it_but_not_just_after_the_database_was_away(
    waiting: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_time_pass(waiting)
    maintenance = Maintenance()
    monkeypatch.setattr("workflows.worker.maintenance.scheduler", lambda broker: None)
    monkeypatch.setattr(maintenance, "_server_age", lambda: maintenance.lease + 1)
    maintenance.connected_at = 0.0  # during an outage, which this round ends
    maintenance.do_round()
    assert step_of(waiting).answer_by is not None
    maintenance.connected_at -= maintenance.lease + 1
    maintenance.do_round()
    assert step_of(waiting).answer_by is None


def test_a_deadline_goes_with_the_wait(waiting: Claim) -> None:
    with pytest.raises(IntegrityError, match="step_waits_for_answer"), transaction.atomic():
        WorkflowStep.objects.filter(pk=waiting.step_id).update(status="completed")
    with pytest.raises(IntegrityError, match="step_waits_for_answer"), transaction.atomic():
        WorkflowStep.objects.filter(pk=waiting.step_id).update(ready_at=timezone.now())


def test_a_wait_holds_no_lane(start: Start) -> None:
    execution = start(outside("a"), outside("b"), max_parallel=1)
    for _ in range(2):
        (claimed,) = claim(execution.pk)
        hand_over(claimed)
    execution = WorkflowExecution.objects.get(pk=execution.pk)
    assert (execution.status, execution.steps_running, execution.message_id) == ("waiting", 0, None)


def test_the_look_for_silence_uses_an_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN " + SILENT, {"limit": 100})
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "step_answers" in plan


def at_once(*calls: Callable[[], object]) -> None:
    """Runs each in its own thread, on its own connection."""
    barrier = threading.Barrier(len(calls))

    def run_one(call: Callable[[], object]) -> None:
        connection.ensure_connection()
        barrier.wait()
        call()
        connection.close()

    threads = [threading.Thread(target=run_one, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.django_db(transaction=True)
def test_an_answer_and_the_end_of_the_wait_at_once(start: Start) -> None:
    """Exactly one of them counts. The status of the answer shows which."""
    for _ in range(25):
        execution = start(outside(max_attempts=1))
        (claimed,) = claim(execution.pk)
        hand_over(claimed)
        let_time_pass(claimed)
        answers: list[int] = []
        body = update_of(claimed, "completed")
        at_once(engine.end_silence, lambda body=body, to=answers: to.append(send(body).status_code))  # type: ignore[misc]
        execution.refresh_from_db()
        assert (answers, execution.status) in [([200], "completed"), ([409], "failed")]
        assert execution.steps_finished == 1


@pytest.mark.django_db(transaction=True)
def test_an_answer_and_the_posters_outcome_at_once(start: Start) -> None:
    """The answer counts, even if it is second."""
    for _ in range(25):
        execution = start(outside())
        (claimed,) = claim(execution.pk)
        answers: list[int] = []
        body = update_of(claimed, "completed")
        at_once(
            lambda claimed=claimed: hand_over(claimed),  # type: ignore[misc]
            lambda body=body, to=answers: to.append(send(body).status_code),  # type: ignore[misc]
        )
        execution.refresh_from_db()
        assert (answers, execution.status, execution.steps_finished) == ([200], "completed", 1)
