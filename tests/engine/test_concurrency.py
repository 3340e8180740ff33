"""Two connections and more, for real: what must hold whoever comes first."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connection

from tests.engine.conftest import Start, side_by_side, statuses
from tests.engine.test_verbs import end, take
from workflows import engine
from workflows.models import WorkflowExecution
from workflows.steps import Claim, NewStep
from workflows.turn import Holder

pytestmark = pytest.mark.django_db(transaction=True)


def together(functions: list[Callable[[], object]]) -> list[object]:
    """Runs them at the same instant, each in a thread and on a connection of its own."""
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


@pytest.mark.parametrize("round_", range(20))
def test_two_parents_that_end_together_free_their_child(start: Start, holder: Holder, round_: int) -> None:
    execution = start(NewStep("a"), NewStep("b"), NewStep("c", depends_on=[0, 1]))
    a, b = (*take(holder), *take(holder))
    together([lambda: end(holder, a), lambda: end(holder, b)])
    assert statuses(execution.pk) == ["completed", "completed", "ready"]


def test_eight_claimers_never_pass_max_parallel_and_claim_each_step_once(start: Start) -> None:
    execution = start(*side_by_side(120), max_parallel=3)
    seen: list[str] = []
    most = 0

    def work() -> None:
        nonlocal most
        holder = Holder(uuid4(), "worker", lease=30)
        while WorkflowExecution.objects.filter(pk=execution.pk).unfinished().exists():
            for claim in take(holder, free=2):
                running = execution.steps.filter(status="running").count()
                most = max(most, running)
                seen.append(claim.name)
                end(holder, claim)

    together([work] * 8)
    assert sorted(seen) == sorted(f"s{i}" for i in range(120))
    assert 1 <= most <= 3
    assert set(statuses(execution.pk)) == {"completed"}


def test_a_cancel_and_an_outcome_meet(start: Start, holder: Holder) -> None:
    for _ in range(20):
        execution = start(*side_by_side(1))
        (claim,) = take(holder)
        cancelled, _ = together([lambda e=execution: engine.cancel(e.pk, actor="alice"), _ending(holder, claim)])  # type: ignore[misc]
        execution.refresh_from_db()
        assert execution.status == ("cancelled" if cancelled else "completed")
        assert statuses(execution.pk) == [execution.status]


def _ending(holder: Holder, claim: Claim) -> Callable[[], object]:
    return lambda: end(holder, claim)


def test_batches_that_share_executions_do_not_deadlock(start: Start) -> None:
    jobs = [start(*side_by_side(40), max_parallel=40) for _ in range(3)]

    def work() -> None:
        holder = Holder(uuid4(), "worker", lease=30)
        while claims := take(holder, free=3):
            for claim in claims:
                end(holder, claim, go_on=False)

    together([work] * 6)
    assert {status for job in jobs for status in statuses(job.pk)} == {"completed"}
