"""start, cancel, retry, reap, sweep: one transaction each, on one connection."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django_q.models import OrmQ

from aiworkstation.audit.models import AuditEvent
from tests.support.turns import turn
from tests.workflows.conftest import Start, chain, error_of, side_by_side, statuses
from workflows import engine
from workflows.engine.claims import Claim
from workflows.engine.consistency import check
from workflows.engine.outcomes import Outcome
from workflows.engine.turn import Demand, TurnResult, WorkerInfo
from workflows.errors import StepError
from workflows.models import WorkflowExecution, WorkflowStep
from workflows.steps import NewStep
from workflows.tools import Slot


def take(holder: WorkerInfo, free: int = 1, slot: Slot = "async") -> list[Claim]:
    return turn(holder, [], [Demand(slot, free)]).claims


def end(holder: WorkerInfo, claim: Claim, *, go_on: bool = False) -> TurnResult:
    outcome = Outcome.completed(claim, {"done": claim.name})
    outcome.keeps = "async" if go_on else None
    return turn(holder, [outcome], [])


def give_up(holder: WorkerInfo, claim: Claim) -> TurnResult:
    return turn(holder, [Outcome.failed(claim, StepError("no", retryable=False))], [])


def actions(execution: UUID) -> list[str]:
    events = AuditEvent.objects.filter(execution_id=execution).order_by("id")
    return list(events.values_list("action", flat=True))


def expire(step: UUID) -> None:
    WorkflowStep.objects.filter(pk=step).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_it_works(start: Start, holder: WorkerInfo) -> None:
    execution = start(*chain(3))
    (claim,) = take(holder)
    while claim:
        claims = end(holder, claim, go_on=True).claims
        claim = claims[0] if claims else None  # type: ignore[assignment]
    execution.refresh_from_db()
    assert (execution.status, execution.steps_completed, execution.steps_running) == ("completed", 3, 0)
    assert execution.message_id is None
    assert not OrmQ.objects.exists()
    steps = ["step.started", "step.completed"]
    assert sorted(actions(execution.pk)) == sorted(["job.queued", "job.started", *steps * 3, "job.completed"])


def test_start_joins_the_callers_transaction(start: Start) -> None:
    with transaction.atomic():
        start(*chain(2))
        transaction.set_rollback(True)
    assert not WorkflowExecution.objects.exists()
    assert not OrmQ.objects.exists()


def test_a_message_names_its_execution_and_can_be_read_by_django_q(start: Start) -> None:
    execution = start(*chain(1), queue="high")
    message = OrmQ.objects.get()
    assert message.pk == execution.message_id
    assert message.key == "jobs-high"
    assert message.args() == (str(execution.pk),)


def test_a_claimer_that_leaves_ready_steps_sends_the_next_message(start: Start, holder: WorkerInfo) -> None:
    execution = start(*side_by_side(3), max_parallel=2)
    first = execution.message_id
    take(holder)
    execution.refresh_from_db()
    assert execution.message_id not in (None, first)
    take(holder)
    execution.refresh_from_db()
    assert execution.message_id is None
    assert execution.steps_running == 2
    assert take(holder) == []


def test_a_step_is_claimed_only_by_who_knows_its_tool(start: Start, holder: WorkerInfo) -> None:
    start(NewStep("x", tool="TOMORROW", arguments={}))
    assert take(holder) == []


def test_queues_are_served_in_order(start: Start, holder: WorkerInfo) -> None:
    jobs = {queue: start(NewStep(queue), queue=queue) for queue in ("low", "normal", "high")}
    assert [take(holder)[0].execution_id for _ in jobs] == [jobs[q].pk for q in ("high", "normal", "low")]


def test_only_the_holder_of_the_token_writes_the_outcome(start: Start, holder: WorkerInfo, other: WorkerInfo) -> None:
    execution = start(*chain(1))
    (late,) = take(holder)
    expire(late.step_id)
    assert engine.reap() == 1
    (claim,) = take(other)
    assert claim.attempt == late.attempt == 1
    assert len(end(holder, late).refused) == 1
    assert statuses(execution.pk) == ["running"]
    assert end(other, claim).refused == []
    assert len(end(holder, late).refused) == 1
    assert statuses(execution.pk) == ["completed"]
    assert actions(execution.pk).count("step.result_refused") == 2


def test_an_outcome_that_was_recorded_before_a_lost_answer_is_no_refusal(start: Start, holder: WorkerInfo) -> None:
    execution = start(*chain(2))
    (claim,) = take(holder)
    assert end(holder, claim).refused == []
    assert end(holder, claim).refused == []
    assert statuses(execution.pk) == ["completed", "ready"]
    assert WorkflowStep.objects.get(execution=execution, index=1).missing_dependencies == 0
    assert check() == []


def test_fan_in_waits_for_every_parent(start: Start, holder: WorkerInfo) -> None:
    execution = start(NewStep("a"), NewStep("b"), NewStep("c", depends_on=[0, 1]))
    a, b = (*take(holder), *take(holder))
    end(holder, a)
    assert statuses(execution.pk) == ["completed", "running", "pending"]
    end(holder, b)
    assert statuses(execution.pk) == ["completed", "completed", "ready"]


def test_what_stands_behind_a_failure_is_skipped_and_other_branches_go_on(start: Start, holder: WorkerInfo) -> None:
    execution = start(
        NewStep("a"), NewStep("b", depends_on=[0]), NewStep("c", depends_on=[1]), NewStep("free"), max_parallel=2
    )
    a, free = (*take(holder), *take(holder))
    give_up(holder, a)
    assert statuses(execution.pk) == ["failed", "skipped", "skipped", "running"]
    end(holder, free)
    execution.refresh_from_db()
    assert (execution.status, execution.steps_failed, execution.steps_finished) == ("failed", 1, 4)


def test_a_child_of_two_failures_is_skipped_once(start: Start, holder: WorkerInfo) -> None:
    execution = start(NewStep("a"), NewStep("b"), NewStep("c", depends_on=[0, 1]))
    for claim in (*take(holder), *take(holder)):
        give_up(holder, claim)
    assert statuses(execution.pk) == ["failed", "failed", "skipped"]
    assert actions(execution.pk).count("step.skipped") == 1
    assert check() == []


@pytest.mark.parametrize(("failing", "expected"), [(1, "completed_with_errors"), (2, "failed"), (0, "completed")])
def test_a_job_that_tolerates_failures(start: Start, holder: WorkerInfo, failing: int, expected: str) -> None:
    execution = start(*side_by_side(2), tolerates_failures=True)
    for number, claim in enumerate([*take(holder), *take(holder)]):
        if number < failing:
            give_up(holder, claim)
        else:
            end(holder, claim)
    execution.refresh_from_db()
    assert execution.status == expected


def test_a_retryable_failure_waits_and_is_due_later(start: Start, holder: WorkerInfo) -> None:
    execution = start(*chain(1))
    (claim,) = take(holder)
    turn(holder, [Outcome.failed(claim, StepError("again"))], [])
    step = execution.steps.get()
    execution.refresh_from_db()
    assert (step.status, execution.status, error_of(execution)["message"]) == ("waiting", "waiting", "again")
    assert OrmQ.objects.get().lock == step.ready_at
    assert take(holder) == []
    make_due(execution)
    (claim,) = take(holder)
    assert claim.attempt == 2


def test_earlier_work_moves_the_message(start: Start, holder: WorkerInfo) -> None:
    execution = start(NewStep("a"), NewStep("b"), NewStep("c", depends_on=[1]))
    a, b = (*take(holder), *take(holder))
    turn(holder, [Outcome.failed(a, StepError("again"))], [])
    later = OrmQ.objects.get()
    assert later.lock > timezone.now()
    end(holder, b)
    earlier = OrmQ.objects.get()
    assert (earlier.pk, earlier.lock <= timezone.now()) == (later.pk, True)
    assert [claim.name for claim in take(holder)] == ["c"]
    execution.refresh_from_db()
    assert execution.wake_at == OrmQ.objects.get().lock


def make_due(execution: WorkflowExecution) -> None:
    past = timezone.now() - timedelta(seconds=1)
    execution.steps.filter(status="waiting").update(ready_at=past)
    OrmQ.objects.update(lock=past)
    WorkflowExecution.objects.filter(pk=execution.pk).update(wake_at=past)


def test_attempts_run_out(start: Start, holder: WorkerInfo) -> None:
    execution = start(NewStep("x", max_attempts=2))
    for _ in range(2):
        (claim,) = take(holder)
        turn(holder, [Outcome.failed(claim, StepError("again"))], [])
        make_due(execution)
    step = execution.steps.get()
    assert (step.status, step.attempt) == ("failed", 2)


def test_a_wait_is_no_attempt(start: Start, holder: WorkerInfo) -> None:
    execution = start(NewStep("x", max_attempts=1))
    for _ in range(3):
        (claim,) = take(holder)
        assert claim.attempt == 1
        turn(holder, [Outcome.waiting(claim, StepError("busy"), 5.0)], [])
        make_due(execution)
    assert execution.steps.get().status == "waiting"


def test_waits_end_after_a_quarter_of_an_hour(start: Start, holder: WorkerInfo) -> None:
    execution = start(*chain(1))
    (claim,) = take(holder)
    turn(holder, [Outcome.waiting(claim, StepError("busy"), 5.0)], [])
    execution.steps.update(waiting_since=timezone.now() - timedelta(minutes=16))
    make_due(execution)
    (claim,) = take(holder)
    turn(holder, [Outcome.waiting(claim, StepError("busy"), 5.0)], [])
    step = execution.steps.get()
    assert step.status == "failed"
    assert "waited 9" in error_of(execution)["message"]


def test_a_delayed_job_waits(start: Start, holder: WorkerInfo) -> None:
    execution = start(*chain(1), delay=60)
    assert execution.status == "waiting"
    assert take(holder) == []
    assert OrmQ.objects.get().lock > timezone.now() + timedelta(seconds=50)


def test_cancel_takes_the_token_and_the_message(start: Start, holder: WorkerInfo) -> None:
    execution = start(*side_by_side(2))
    (claim,) = take(holder)
    assert engine.cancel(execution.pk, actor="alice")
    assert not engine.cancel(execution.pk, actor="alice")
    execution.refresh_from_db()
    assert (execution.status, statuses(execution.pk)) == ("cancelled", ["cancelled", "cancelled"])
    assert not OrmQ.objects.exists()
    assert len(end(holder, claim).refused) == 1
    execution.refresh_from_db()
    assert execution.status == "cancelled"


def test_retry_runs_only_what_did_not_complete(start: Start, holder: WorkerInfo) -> None:
    execution = start(NewStep("a"), NewStep("b", depends_on=[0], max_attempts=1), NewStep("c", depends_on=[1]))
    (a,) = take(holder)
    (b,) = end(holder, a, go_on=True).claims
    turn(holder, [Outcome.failed(b, StepError("no"))], [])
    assert statuses(execution.pk) == ["completed", "failed", "skipped"]
    assert engine.retry(execution.pk, actor="alice")
    assert statuses(execution.pk) == ["completed", "ready", "pending"]
    (again,) = take(holder)
    assert (again.step_index, again.attempt, again.failures) == (1, 2, 1)
    assert again.idempotency_key == f"{b.idempotency_key}-r2"
    (c,) = end(holder, again, go_on=True).claims
    assert c.idempotency_key == str(c.step_id)
    end(holder, c)
    execution.refresh_from_db()
    assert execution.status == "completed"
    assert not engine.retry(execution.pk, actor="alice")


ASYNC_THEN_ALONE: list[Slot] = ["async", "async", "alone", "alone"]
"""The kinds of slots for the runs of a step that crashes."""


def test_a_lost_lease_is_a_crash_and_no_attempt(start: Start, holder: WorkerInfo) -> None:
    execution = start(*chain(1))
    for slot in ASYNC_THEN_ALONE:
        (claim,) = take(holder, slot=slot)
        assert claim.attempt == 1
        expire(claim.step_id)
        engine.reap()
    step = execution.steps.get()
    assert (step.status, step.crashes) == ("ready", 2)


def test_the_crash_of_a_steps_own_process_is_no_attempt_and_the_third_its_end(start: Start, holder: WorkerInfo) -> None:
    execution = start(NewStep("x", max_attempts=1))
    for crashes in range(3):
        (claim,) = take(holder, slot=ASYNC_THEN_ALONE[crashes])
        assert (claim.attempt, claim.crashes) == (1, crashes)
        turn(holder, [Outcome.crashed(claim, "killed by SIGKILL")], [])
    step = execution.steps.get()
    assert (step.status, step.attempt, step.crashes, error_of(execution)["code"]) == ("failed", 1, 3, "crashed")


def test_a_live_lease_is_not_reaped(start: Start, holder: WorkerInfo) -> None:
    start(*chain(1))
    take(holder)
    assert engine.reap() == 0


def test_the_sweep_finds_nothing_in_normal_life(start: Start, holder: WorkerInfo) -> None:
    start(*chain(2))
    start(*chain(2), delay=60)
    take(holder)
    assert engine.sweep() == []


@pytest.mark.parametrize("delay", [0.0, 600.0])
def test_the_sweep_replaces_a_message_that_somebody_deleted(start: Start, delay: float) -> None:
    """As "Queued tasks" in the admin lets one do. The execution still names the message."""
    execution = start(*chain(1), delay=delay)
    OrmQ.objects.all().delete()
    assert engine.sweep() == [execution.pk]
    execution.refresh_from_db()
    assert OrmQ.objects.get().pk == execution.message_id
    assert engine.sweep() == []


def test_the_sweep_gives_a_stranded_execution_its_message_back(start: Start, holder: WorkerInfo) -> None:
    execution = start(*chain(1))
    OrmQ.objects.all().delete()
    assert engine.sweep() == [execution.pk]
    assert len(take(holder)) == 1
    assert "job.stranded" in actions(execution.pk)


def test_claims_whose_answer_was_lost_go_back(start: Start, holder: WorkerInfo) -> None:
    execution = start(*side_by_side(2))
    known, _lost = (*take(holder), *take(holder))
    assert engine.release_strays(holder.id, [known.token], actor=holder.name) == 1
    assert sorted(statuses(execution.pk)) == ["ready", "running"]
    assert execution.steps.get(status="ready").repeats_attempt


def test_the_database_keeps_one_step_a_lane(start: Start, holder: WorkerInfo) -> None:
    execution = start(*side_by_side(2))
    one, two = (*take(holder), *take(holder))
    assert one.step_id != two.step_id
    with pytest.raises(IntegrityError), transaction.atomic():
        execution.steps.update(lane=1)


def test_claim_and_finish_are_one_statement(start: Start, holder: WorkerInfo) -> None:
    start(*chain(3))
    (claim,) = take(holder)
    with connection.execute_wrapper(counter := Counting()):
        end(holder, claim, go_on=True)
    assert counter.statements == 1


class Counting:
    def __init__(self) -> None:
        self.statements = 0

    def __call__(self, execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        self.statements += 0 if "SAVEPOINT" in sql else 1
        return execute(sql, params, many, context)
