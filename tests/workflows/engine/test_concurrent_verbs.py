"""Two verbs overlap at one job: the second is called when the first has done its work but has not committed yet.

PostgreSQL prevents that they overwrite each other's rows. But a statement may have read other rows before it waited,
such as the job's counters or added steps. So each verb locks the job first and reads afterwards.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import transaction

from tests.support.processes import database_url, wait_for
from tests.workflows.conftest import Start, side_by_side, statuses
from tests.workflows.engine.test_added_steps import add
from tests.workflows.engine.test_verbs import end, expire, fail_for_good, take
from tests.workflows.worker.test_runner import in_other_thread
from workflows import engine
from workflows.engine.claims import Claim
from workflows.engine.consistency import check
from workflows.engine.turn import WorkerInfo
from workflows.models import WorkflowExecution
from workflows.steps import NewStep

pytestmark = pytest.mark.django_db(transaction=True)

WAITING = """
SELECT EXISTS (
  SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')
"""


def overlap(first: Callable[[], object], second: Callable[[], object]) -> Any:
    """Calls the second verb while the first has not committed yet. Returns the result of the second."""
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database_url(), autocommit=True) as onlooker:
        with transaction.atomic():
            first()
            result = pool.submit(in_other_thread, second)
            wait_for(lambda: result.done() or onlooker.execute(WAITING).fetchone() == (True,), what="they meet")
        return result.result(timeout=30)


@pytest.fixture
def job(start: Start) -> WorkflowExecution:
    return start(*side_by_side(3), NewStep("child", depends_on=[0, 1]), max_parallel=3)


@pytest.fixture
def claims(job: WorkflowExecution, worker: WorkerInfo) -> list[Claim]:
    """Claims of the child's two parents. The third step is ready."""
    return [*take(worker), *take(worker)]


def test_two_steps_end(start: Start, worker: WorkerInfo, other_worker: WorkerInfo) -> None:
    """No step depends on both of them: both change the job's row."""
    job = start(*side_by_side(2))
    claims = [*take(worker), *take(other_worker)]
    overlap(lambda: end(worker, claims[0]), lambda: end(other_worker, claims[1]))
    job.refresh_from_db()
    assert (job.status, job.steps_completed) == ("completed", 2)
    assert check() == []


def test_two_parents_end(
    job: WorkflowExecution, claims: list[Claim], worker: WorkerInfo, other_worker: WorkerInfo
) -> None:
    overlap(lambda: end(worker, claims[0]), lambda: end(other_worker, claims[1]))
    assert statuses(job.pk) == ["completed", "completed", "ready", "ready"]
    assert check() == []


def test_one_parent_fails_and_the_other_ends(
    job: WorkflowExecution, claims: list[Claim], worker: WorkerInfo, other_worker: WorkerInfo
) -> None:
    overlap(lambda: fail_for_good(worker, claims[0]), lambda: end(other_worker, claims[1]))
    assert statuses(job.pk) == ["failed", "completed", "ready", "skipped"]
    assert check() == []


def test_a_step_ends_and_another_is_claimed(
    job: WorkflowExecution, claims: list[Claim], worker: WorkerInfo, other_worker: WorkerInfo
) -> None:
    overlap(lambda: end(worker, claims[0]), lambda: take(other_worker))
    assert check() == []


def test_a_step_is_claimed_and_another_goes_back(
    job: WorkflowExecution, claims: list[Claim], worker: WorkerInfo, other_worker: WorkerInfo
) -> None:
    """The answer to the second worker's claims was lost."""
    overlap(lambda: take(other_worker), lambda: engine.release_strays(worker.id, [], actor=worker.name))
    assert sorted(statuses(job.pk)) == ["pending", "ready", "ready", "running"]
    assert check() == []


def test_a_step_ends_and_its_job_is_cancelled(job: WorkflowExecution, claims: list[Claim], worker: WorkerInfo) -> None:
    assert overlap(lambda: end(worker, claims[0]), lambda: engine.cancel(job.pk, actor="alice"))
    assert statuses(job.pk) == ["completed", "cancelled", "cancelled", "cancelled"]
    assert check() == []


def test_a_job_is_cancelled_and_a_step_ends(job: WorkflowExecution, claims: list[Claim], worker: WorkerInfo) -> None:
    worked = overlap(lambda: engine.cancel(job.pk, actor="alice"), lambda: end(worker, claims[0], go_on=True))
    assert (len(worked.refused), worked.claims) == (1, [])
    assert set(statuses(job.pk)) == {"cancelled"}
    assert check() == []


def test_steps_are_added_and_the_job_is_cancelled(job: WorkflowExecution, claims: list[Claim]) -> None:
    assert overlap(lambda: add(claims[0], "a"), lambda: engine.cancel(job.pk, actor="alice"))
    assert statuses(job.pk) == ["cancelled"] * 5
    assert check() == []


def test_a_job_is_cancelled_and_steps_are_added(job: WorkflowExecution, claims: list[Claim]) -> None:
    assert overlap(lambda: engine.cancel(job.pk, actor="alice"), lambda: add(claims[0], "a")) == 0
    assert statuses(job.pk) == ["cancelled"] * 4
    assert check() == []


def test_steps_are_added_twice(job: WorkflowExecution, claims: list[Claim]) -> None:
    """A step whose connection was cut tries again."""
    assert overlap(lambda: add(claims[0], "a", "b"), lambda: add(claims[0], "b", "c")) == 1
    assert list(job.steps.order_by("index").values_list("index", "name"))[4:] == [(4, "a"), (5, "b"), (6, "c")]
    assert check() == []


def test_a_step_ends_and_its_lease_has_run_out(job: WorkflowExecution, claims: list[Claim], worker: WorkerInfo) -> None:
    expire(claims[0].step_id)
    assert overlap(lambda: end(worker, claims[0]), engine.reap) == 0
    assert statuses(job.pk) == ["completed", "running", "ready", "pending"]
    assert check() == []


def test_a_step_ends_and_the_lease_of_another_has_run_out(
    job: WorkflowExecution, claims: list[Claim], worker: WorkerInfo
) -> None:
    """The reaper runs again."""
    expire(claims[1].step_id)
    assert overlap(lambda: end(worker, claims[0]), engine.reap) == 0
    assert engine.reap() == 1
    assert check() == []


def test_a_lease_has_run_out_and_the_step_ends(job: WorkflowExecution, claims: list[Claim], worker: WorkerInfo) -> None:
    expire(claims[0].step_id)
    assert len(overlap(engine.reap, lambda: end(worker, claims[0])).refused) == 1
    assert statuses(job.pk) == ["ready", "running", "ready", "pending"]
    assert check() == []


def test_a_job_is_retried_twice(job: WorkflowExecution, claims: list[Claim]) -> None:
    engine.cancel(job.pk, actor="alice")
    assert not overlap(lambda: engine.retry(job.pk, actor="alice"), lambda: engine.retry(job.pk, actor="bob"))
    assert {step.round for step in job.steps.all()} == {1, 2}
    assert check() == []
