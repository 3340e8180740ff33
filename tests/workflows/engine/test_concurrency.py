"""Real concurrency on several connections: what must hold in whatever order they come."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection

from tests.support.processes import database_url
from tests.support.runner import work
from tests.support.turns import turn
from tests.workflows.conftest import Start, side_by_side, statuses
from tests.workflows.engine.test_fairness import start_for, take_newcomers
from tests.workflows.engine.test_verbs import actions, end, expire, take
from tests.workflows.worker.test_runner import in_other_thread, lines
from workflows import engine, tools
from workflows.engine.claims import Claim
from workflows.engine.consistency import check
from workflows.engine.outcomes import Outcome
from workflows.engine.turn import WorkerInfo
from workflows.models import WorkflowExecution, WorkflowStep
from workflows.steps import NewStep
from workflows.worker.runner import Runner

pytestmark = pytest.mark.django_db(transaction=True)


def together(functions: list[Callable[[], object]]) -> list[object]:
    """Calls all functions at the same moment, each in a thread with a connection of its own."""
    barrier = threading.Barrier(len(functions))

    def call(function: Callable[[], object]) -> object:
        try:
            connection.ensure_connection()
            barrier.wait()
            return function()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(call, functions))


def test_two_parents_that_end_together_free_their_child(start: Start, worker: WorkerInfo) -> None:
    """Two thousand pairs: two workers end one parent each, ten pairs at a time."""
    pairs, batch = 50, 10
    steps = [NewStep(f"p{i}") for i in range(2 * pairs)]
    steps += [NewStep(f"c{i}", depends_on=[i, pairs + i]) for i in range(pairs)]
    executions = [start(*steps, max_parallel=2 * pairs) for _ in range(40)]
    parents: dict[UUID, list[Claim]] = {execution.pk: [] for execution in executions}
    while claims := take(worker, free=1000):
        for claim in claims:
            parents[claim.execution_id].append(claim)
    both = threading.Barrier(2)

    def work(which: int) -> None:
        for claims in parents.values():
            own = sorted(claims, key=lambda claim: claim.step_index)[which * pairs : (which + 1) * pairs]
            for begin in range(0, pairs, batch):
                outcomes = [Outcome.completed(claim, None) for claim in own[begin : begin + batch]]
                both.wait(30)
                turn(worker, outcomes, [])

    together([lambda: work(0), lambda: work(1)])
    children = WorkflowStep.objects.filter(name__startswith="c").values_list("status", "missing_dependencies")
    assert list(children) == [("ready", 0)] * pairs * len(executions)
    assert check() == []


def test_eight_claimers_never_pass_max_parallel_and_claim_each_step_once(start: Start) -> None:
    executions = [start(*side_by_side(500), max_parallel=3) for _ in range(4)]
    seen: list[str] = []

    def work() -> None:
        worker = WorkerInfo(uuid4(), "worker", lease=30, tools=tools.known_slugs())
        claims = take(worker, free=2)
        until = time.monotonic() + 60
        while (claims or WorkflowExecution.objects.unfinished().exists()) and time.monotonic() < until:
            following = [each for claim in claims for each in end(worker, claim, go_on=True).claims]
            seen.extend(str(claim.step_id) for claim in claims)
            claims = following or take(worker, free=2)

    together([work] * 8)
    assert len(seen) == len(set(seen)) == 2000
    assert {status for execution in executions for status in statuses(execution.pk)} == {"completed"}
    assert {execution.pk: most_at_once(execution.pk) for execution in executions} == dict.fromkeys(
        [execution.pk for execution in executions], 3
    )


def most_at_once(execution: UUID) -> int:
    """Counts from the audit trail, whose ids are assigned while the execution is locked."""
    running = most = 0
    for action in actions(execution):
        running += {"step.started": 1, "step.completed": -1}.get(action, 0)
        most = max(most, running)
    return most


def test_a_cancel_and_an_outcome_meet(start: Start, worker: WorkerInfo) -> None:
    for _ in range(20):
        execution = start(*side_by_side(1))
        (claim,) = take(worker)
        cancelled, _ = together([lambda e=execution: engine.cancel(e.pk, actor="alice"), _ending(worker, claim)])  # type: ignore[misc]
        execution.refresh_from_db()
        assert execution.status == ("cancelled" if cancelled else "completed")
        assert statuses(execution.pk) == [execution.status]


def _ending(worker: WorkerInfo, claim: Claim) -> Callable[[], object]:
    return lambda: end(worker, claim)


def test_batches_that_share_executions_do_not_deadlock(start: Start) -> None:
    jobs = [start(*side_by_side(40), max_parallel=40) for _ in range(3)]

    def work() -> None:
        worker = WorkerInfo(uuid4(), "worker", lease=30, tools=tools.known_slugs())
        while claims := take(worker, free=3):
            for claim in claims:
                end(worker, claim, go_on=False)

    together([work] * 6)
    assert {status for job in jobs for status in statuses(job.pk)} == {"completed"}


@contextmanager
def locked(statement: str, *parameters: object) -> Iterator[None]:
    """Locks rows, as a process does that was frozen in its transaction."""
    with psycopg.connect(database_url()) as other:
        other.execute(statement, parameters)
        yield
        other.rollback()


LOCK_JOB = "SELECT FROM workflow_executions WHERE id = %s FOR UPDATE"


def test_the_reaper_does_not_wait_for_a_lock(start: Start, worker: WorkerInfo) -> None:
    stuck, other = start(*side_by_side(1)), start(*side_by_side(1))
    for claim in take(worker, free=2):
        expire(claim.step_id)
    with locked(LOCK_JOB, stuck.pk):
        assert engine.reap() == 1
        assert statuses(other.pk) == ["ready"]
    assert engine.reap() == 1


def test_a_claim_does_not_wait_for_a_lock(start: Start, worker: WorkerInfo) -> None:
    stuck, other = start(*side_by_side(1)), start(*side_by_side(1))
    with locked(LOCK_JOB, stuck.pk):
        assert [claim.execution_id for claim in take(worker, free=2)] == [other.pk]
    assert [claim.execution_id for claim in take(worker)] == [stuck.pk]


def test_a_newcomer_does_not_wait_for_the_lock_of_another(start: Start, worker: WorkerInfo) -> None:
    stuck, bob = start(*side_by_side(1)), User.objects.create_user("bob")
    other = start_for(bob, NewStep("x"))
    with locked(LOCK_JOB, stuck.pk):
        assert [claim.execution_id for claim in take_newcomers(worker)] == [other.pk]


def test_a_result_that_waits_for_a_lock_keeps_its_lease(start: Start, ledger: Path) -> None:
    execution = start(NewStep("x", tool="PROBE_SLEEP", arguments={"seconds": 0.5}))

    async def lock(runner: Runner) -> None:
        while not runner.held:
            await asyncio.sleep(0.01)
        with locked(LOCK_JOB, execution.pk):
            await asyncio.sleep(3)
        assert await asyncio.to_thread(in_other_thread, engine.reap) == 0

    work(execution, during=lock, lease=1)
    step = execution.steps.get()
    assert (step.status, step.attempt, step.crashes) == ("completed", 1, 0)
    assert len(lines(ledger, "start")) == 1
