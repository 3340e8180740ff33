"""Steps that a running step adds to its job."""

from uuid import uuid4

import pytest
from django_q.models import OrmQ

from aiworkstation.audit.models import AuditEvent
from tests.workflows.conftest import Start, chain, side_by_side, statuses
from tests.workflows.engine.test_verbs import end, fail_for_good, take
from workflows import engine
from workflows.engine.claims import Claim, ClaimedStep
from workflows.engine.turn import WorkerInfo
from workflows.models import WorkflowExecution, WorkflowStep
from workflows.steps import NewStep


def add(claim: Claim, *names: str) -> int:
    steps = {name: NewStep(name) for name in names}
    within = ClaimedStep(claim.step_id, claim.token)
    return len(engine.add_steps(claim.execution_id, steps, within=within, actor="alice"))


def test_it_works(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(1), max_parallel=2)
    (claim,) = take(worker)
    assert add(claim, "a", "b") == 2
    execution.refresh_from_db()
    assert (execution.steps_total, execution.status) == (3, "running")
    assert list(execution.steps.order_by("index").values_list("index", "name"))[1:] == [(1, "a"), (2, "b")]
    assert execution.message_id == OrmQ.objects.get().pk
    event = AuditEvent.objects.get(action="job.steps_added")
    assert (event.object, event.actor, event.changes) == (f"job:{execution.pk}", "alice", {"steps": 2})


def test_the_job_ends_with_the_last_of_them(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(1))
    (claim,) = take(worker)
    add(claim, "a", "b")
    for _ in range(3):
        execution.refresh_from_db()
        assert execution.status == "running"
        claims = end(worker, claim, go_on=True).claims
        claim = claims[0] if claims else claim
    execution.refresh_from_db()
    assert (execution.status, execution.steps_completed) == ("completed", 3)


def test_added_steps_run_beside_the_step_that_added_them(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(1), max_parallel=2)
    (claim,) = take(worker)
    add(claim, "a")
    assert [found.name for found in take(worker)] == ["a"]
    assert statuses(execution.pk) == ["running", "running"]


def test_a_later_attempt_adds_nothing_twice(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(1))
    (claim,) = take(worker)
    assert add(claim, "a", "b") == 2
    assert add(claim, "b", "c", "a") == 1
    assert add(claim, "a") == 0
    execution.refresh_from_db()
    assert execution.steps_total == execution.steps.count() == 4


def test_other_jobs_may_have_the_same_keys(start: Start, worker: WorkerInfo) -> None:
    for _ in range(2):
        start(*chain(1))
        (claim,) = take(worker)
        assert add(claim, "a") == 1


def test_only_the_holder_of_the_step_adds_to_its_job(start: Start, worker: WorkerInfo) -> None:
    execution = start(*side_by_side(2), max_parallel=1)
    (claim,) = take(worker)
    assert add(claim._replace(token=uuid4()), "a") == 0
    assert add(claim._replace(execution_id=start(*chain(1)).pk), "a") == 0
    end(worker, claim)
    assert add(claim, "a") == 0
    assert WorkflowExecution.objects.get(pk=execution.pk).steps_total == 2


def test_a_cancelled_job_takes_no_more(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(1))
    (claim,) = take(worker)
    engine.cancel(execution.pk, actor="alice")
    assert add(claim, "a") == 0
    assert statuses(execution.pk) == ["cancelled"]


def test_a_retry_runs_added_steps_that_failed(start: Start, worker: WorkerInfo) -> None:
    execution = start(*chain(1), tolerates_failures=True)
    (claim,) = take(worker)
    add(claim, "a")
    (added,) = end(worker, claim, go_on=True).claims
    fail_for_good(worker, added)
    assert engine.retry(execution.pk, actor="alice")
    assert [found.step_id for found in take(worker)] == [added.step_id]
    assert WorkflowStep.objects.filter(execution=execution).count() == 2


def test_steps_that_wait_for_others_are_not_taken(start: Start, worker: WorkerInfo) -> None:
    start(*chain(1))
    (claim,) = take(worker)
    steps = {"a": NewStep("a", depends_on=[0])}
    with pytest.raises(ValueError, match="cannot depend"):
        engine.add_steps(claim.execution_id, steps, within=ClaimedStep(claim.step_id, claim.token), actor="alice")
