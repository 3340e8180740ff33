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


def take(worker: WorkerInfo, free: int = 1, slot: Slot = "async") -> list[Claim]:
    return turn(worker, [], [Demand(slot, free)]).claims


def end(worker: WorkerInfo, claim: Claim, *, go_on: bool = False) -> TurnResult:
    outcome = Outcome.completed(claim, {"done": claim.name})
    outcome.keeps = "async" if go_on else None
    return turn(worker, [outcome], [])


def fail_for_good(worker: WorkerInfo, claim: Claim) -> TurnResult:
    return turn(worker, [Outcome.failed(claim, StepError("no", retryable=False))], [])


def actions(execution: UUID) -> list[str]:
    events = AuditEvent.objects.filter(execution_id=execution).order_by("id")
    return list(events.values_list("action", flat=True))


def expire(step: UUID) -> None:
    WorkflowStep.objects.filter(pk=step).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_it_works(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(3))
    (claim,) = take(worker)
    while claim:
        claims = end(worker, claim, go_on=True).claims
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


def test_a_claimer_that_leaves_ready_steps_sends_the_next_message(start: Start, worker: WorkerInfo) -> None:
    execution = start(*side_by_side(3), max_parallel=2)
    first = execution.message_id
    take(worker)
    execution.refresh_from_db()
    assert execution.message_id not in (None, first)
    take(worker)
    execution.refresh_from_db()
    assert execution.message_id is None
    assert execution.steps_running == 2
    assert take(worker) == []


def test_a_step_is_claimed_only_by_a_worker_that_knows_its_tool(start: Start, worker: WorkerInfo) -> None:
    start(NewStep("x", tool="TOMORROW", arguments={}))
    assert take(worker) == []


def test_queues_are_served_in_order(start: Start, worker: WorkerInfo) -> None:
    jobs = {queue: start(NewStep(queue), queue=queue) for queue in ("low", "normal", "high")}
    assert [take(worker)[0].execution_id for _ in jobs] == [jobs[q].pk for q in ("high", "normal", "low")]


def test_only_the_holder_of_the_claim_token_writes_the_outcome(
    start: Start, worker: WorkerInfo, other_worker: WorkerInfo
) -> None:
    execution = start(*chain(1))
    (late,) = take(worker)
    expire(late.step_id)
    assert engine.reap() == 1
    (claim,) = take(other_worker)
    assert claim.attempt == late.attempt == 1
    assert len(end(worker, late).refused) == 1
    assert statuses(execution.pk) == ["running"]
    assert end(other_worker, claim).refused == []
    assert len(end(worker, late).refused) == 1
    assert statuses(execution.pk) == ["completed"]
    assert actions(execution.pk).count("step.result_refused") == 2


def test_an_outcome_that_was_recorded_before_a_lost_answer_is_no_refusal(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(2))
    (claim,) = take(worker)
    assert end(worker, claim).refused == []
    assert end(worker, claim).refused == []
    assert statuses(execution.pk) == ["completed", "ready"]
    assert WorkflowStep.objects.get(execution=execution, index=1).missing_dependencies == 0
    assert check() == []


def test_fan_in_waits_for_every_parent(start: Start, worker: WorkerInfo) -> None:
    execution = start(NewStep("a"), NewStep("b"), NewStep("c", depends_on=[0, 1]))
    a, b = (*take(worker), *take(worker))
    end(worker, a)
    assert statuses(execution.pk) == ["completed", "running", "pending"]
    end(worker, b)
    assert statuses(execution.pk) == ["completed", "completed", "ready"]


def test_dependents_of_a_failed_step_are_skipped_and_other_branches_continue(start: Start, worker: WorkerInfo) -> None:
    execution = start(
        NewStep("a"), NewStep("b", depends_on=[0]), NewStep("c", depends_on=[1]), NewStep("free"), max_parallel=2
    )
    a, free = (*take(worker), *take(worker))
    fail_for_good(worker, a)
    assert statuses(execution.pk) == ["failed", "skipped", "skipped", "running"]
    end(worker, free)
    execution.refresh_from_db()
    assert (execution.status, execution.steps_failed, execution.steps_finished) == ("failed", 1, 4)


def test_a_child_of_two_failures_is_skipped_once(start: Start, worker: WorkerInfo) -> None:
    execution = start(NewStep("a"), NewStep("b"), NewStep("c", depends_on=[0, 1]))
    for claim in (*take(worker), *take(worker)):
        fail_for_good(worker, claim)
    assert statuses(execution.pk) == ["failed", "failed", "skipped"]
    assert actions(execution.pk).count("step.skipped") == 1
    assert check() == []


@pytest.mark.parametrize(("failing", "expected"), [(1, "completed_with_errors"), (2, "failed"), (0, "completed")])
def test_a_job_that_tolerates_failures(start: Start, worker: WorkerInfo, failing: int, expected: str) -> None:
    execution = start(*side_by_side(2), tolerates_failures=True)
    for number, claim in enumerate([*take(worker), *take(worker)]):
        if number < failing:
            fail_for_good(worker, claim)
        else:
            end(worker, claim)
    execution.refresh_from_db()
    assert execution.status == expected


def test_a_retryable_failure_waits_and_is_due_later(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(1))
    (claim,) = take(worker)
    turn(worker, [Outcome.failed(claim, StepError("again"))], [])
    step = execution.steps.get()
    execution.refresh_from_db()
    assert (step.status, execution.status, error_of(execution)["message"]) == ("waiting", "waiting", "again")
    assert OrmQ.objects.get().lock == step.ready_at
    assert take(worker) == []
    make_due(execution)
    (claim,) = take(worker)
    assert claim.attempt == 2


def test_earlier_work_moves_the_message(start: Start, worker: WorkerInfo) -> None:
    execution = start(NewStep("a"), NewStep("b"), NewStep("c", depends_on=[1]))
    a, b = (*take(worker), *take(worker))
    turn(worker, [Outcome.failed(a, StepError("again"))], [])
    later = OrmQ.objects.get()
    assert later.lock > timezone.now()
    end(worker, b)
    earlier = OrmQ.objects.get()
    assert (earlier.pk, earlier.lock <= timezone.now()) == (later.pk, True)
    assert [claim.name for claim in take(worker)] == ["c"]
    execution.refresh_from_db()
    assert execution.wake_at == OrmQ.objects.get().lock


def make_due(execution: WorkflowExecution) -> None:
    past = timezone.now() - timedelta(seconds=1)
    execution.steps.filter(status="waiting").update(ready_at=past)
    OrmQ.objects.update(lock=past)
    WorkflowExecution.objects.filter(pk=execution.pk).update(wake_at=past)


def test_attempts_run_out(start: Start, worker: WorkerInfo) -> None:
    execution = start(NewStep("x", max_attempts=2))
    for _ in range(2):
        (claim,) = take(worker)
        turn(worker, [Outcome.failed(claim, StepError("again"))], [])
        make_due(execution)
    step = execution.steps.get()
    assert (step.status, step.attempt) == ("failed", 2)


def test_a_wait_is_no_attempt(start: Start, worker: WorkerInfo) -> None:
    execution = start(NewStep("x", max_attempts=1))
    for _ in range(3):
        (claim,) = take(worker)
        assert claim.attempt == 1
        turn(worker, [Outcome.waiting(claim, StepError("busy"), 5.0)], [])
        make_due(execution)
    assert execution.steps.get().status == "waiting"


def test_waits_end_after_a_quarter_of_an_hour(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(1))
    (claim,) = take(worker)
    turn(worker, [Outcome.waiting(claim, StepError("busy"), 5.0)], [])
    execution.steps.update(waiting_since=timezone.now() - timedelta(minutes=16))
    make_due(execution)
    (claim,) = take(worker)
    turn(worker, [Outcome.waiting(claim, StepError("busy"), 5.0)], [])
    step = execution.steps.get()
    assert step.status == "failed"
    assert "waited 9" in error_of(execution)["message"]


def test_a_delayed_job_waits(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(1), delay=60)
    assert execution.status == "waiting"
    assert take(worker) == []
    assert OrmQ.objects.get().lock > timezone.now() + timedelta(seconds=50)


def test_cancel_takes_the_token_and_the_message(start: Start, worker: WorkerInfo) -> None:
    execution = start(*side_by_side(2))
    (claim,) = take(worker)
    assert engine.cancel(execution.pk, actor="alice")
    assert not engine.cancel(execution.pk, actor="alice")
    execution.refresh_from_db()
    assert (execution.status, statuses(execution.pk)) == ("cancelled", ["cancelled", "cancelled"])
    assert not OrmQ.objects.exists()
    assert len(end(worker, claim).refused) == 1
    execution.refresh_from_db()
    assert execution.status == "cancelled"


def test_retry_runs_only_what_did_not_complete(start: Start, worker: WorkerInfo) -> None:
    execution = start(NewStep("a"), NewStep("b", depends_on=[0], max_attempts=1), NewStep("c", depends_on=[1]))
    (a,) = take(worker)
    (b,) = end(worker, a, go_on=True).claims
    turn(worker, [Outcome.failed(b, StepError("no"))], [])
    assert statuses(execution.pk) == ["completed", "failed", "skipped"]
    assert engine.retry(execution.pk, actor="alice")
    assert statuses(execution.pk) == ["completed", "ready", "pending"]
    (again,) = take(worker)
    assert (again.step_index, again.attempt, again.failures) == (1, 2, 1)
    assert again.idempotency_key == f"{b.idempotency_key}-r2"
    (c,) = end(worker, again, go_on=True).claims
    assert c.idempotency_key == str(c.step_id)
    end(worker, c)
    execution.refresh_from_db()
    assert execution.status == "completed"
    assert not engine.retry(execution.pk, actor="alice")


ASYNC_THEN_ALONE: list[Slot] = ["async", "async", "alone", "alone"]
"""The kinds of slots for the runs of a step that crashes."""


def test_a_lost_lease_is_a_crash_and_no_attempt(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(1))
    for slot in ASYNC_THEN_ALONE:
        (claim,) = take(worker, slot=slot)
        assert claim.attempt == 1
        expire(claim.step_id)
        engine.reap()
    step = execution.steps.get()
    assert (step.status, step.crashes) == ("ready", 2)


def test_the_crash_of_a_steps_own_process_is_no_attempt_and_the_third_its_end(start: Start, worker: WorkerInfo) -> None:
    execution = start(NewStep("x", max_attempts=1))
    for crashes in range(3):
        (claim,) = take(worker, slot=ASYNC_THEN_ALONE[crashes])
        assert (claim.attempt, claim.crashes) == (1, crashes)
        turn(worker, [Outcome.crashed(claim, "killed by SIGKILL")], [])
    step = execution.steps.get()
    assert (step.status, step.attempt, step.crashes, error_of(execution)["code"]) == ("failed", 1, 3, "crashed")


def test_a_live_lease_is_not_reaped(start: Start, worker: WorkerInfo) -> None:
    start(*chain(1))
    take(worker)
    assert engine.reap() == 0


def test_the_sweep_finds_nothing_in_normal_operation(start: Start, worker: WorkerInfo) -> None:
    start(*chain(2))
    start(*chain(2), delay=60)
    take(worker)
    assert engine.sweep() == []


@pytest.mark.parametrize("delay", [0.0, 600.0])
def test_the_sweep_replaces_a_deleted_message(start: Start, delay: float) -> None:
    """The page "Queued tasks" in the admin lets one do that. The execution still names the message."""
    execution = start(*chain(1), delay=delay)
    OrmQ.objects.all().delete()
    assert engine.sweep() == [execution.pk]
    execution.refresh_from_db()
    assert OrmQ.objects.get().pk == execution.message_id
    assert engine.sweep() == []


def test_the_sweep_gives_a_stranded_execution_its_message_back(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(1))
    OrmQ.objects.all().delete()
    assert engine.sweep() == [execution.pk]
    assert len(take(worker)) == 1
    assert "job.stranded" in actions(execution.pk)


def test_claims_whose_answer_was_lost_go_back(start: Start, worker: WorkerInfo) -> None:
    execution = start(*side_by_side(2))
    known, _lost = (*take(worker), *take(worker))
    assert engine.release_strays(worker.id, [known.token], actor=worker.name) == 1
    assert sorted(statuses(execution.pk)) == ["ready", "running"]
    assert execution.steps.get(status="ready").repeats_attempt


def test_the_database_keeps_one_step_a_lane(start: Start, worker: WorkerInfo) -> None:
    execution = start(*side_by_side(2))
    one, two = (*take(worker), *take(worker))
    assert one.step_id != two.step_id
    with pytest.raises(IntegrityError), transaction.atomic():
        execution.steps.update(lane=1)


def test_claim_and_finish_are_one_statement(start: Start, worker: WorkerInfo) -> None:
    start(*chain(3))
    (claim,) = take(worker)
    with connection.execute_wrapper(counter := Counting()):
        end(worker, claim, go_on=True)
    assert counter.statements == 1


class Counting:
    def __init__(self) -> None:
        self.statements = 0

    def __call__(self, execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        self.statements += 0 if "SAVEPOINT" in sql else 1
        return execute(sql, params, many, context)
