"""Values that the database rejects fail the step or the job that brings them, and nothing else."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from tests.support.runner import work
from tests.workflows.conftest import Start, chain, error_of
from tests.workflows.worker.test_runner import in_other_thread, lines
from workflows.engine.broken_jobs import LIMIT
from workflows.engine.claims import Claim
from workflows.engine.outcomes import Outcome
from workflows.models import WorkflowExecution, WorkflowStep
from workflows.steps import NewStep
from workflows.worker.capacity import SlotSizes
from workflows.worker.runner import Runner, valid_percent
from workflows.worker.step_executor import StepExecutor

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Values that the outcomes of steps named "odd" get instead of sensible ones."""
    values: dict[str, Any] = {}
    execute = StepExecutor.execute

    async def oddly(self: StepExecutor, claim: Claim, *arguments: Any) -> Outcome:
        outcome = await execute(self, claim, *arguments)
        for name, value in values.items():
            if claim.name == "odd":
                setattr(outcome, name, value)
        return outcome

    monkeypatch.setattr(StepExecutor, "execute", oddly)
    return values


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "m" * 300),
        ("output", "{"),
        ("output", "[" * 20_000 + "]" * 20_000),
        ("output", '"\\ud800"'),
        ("usage", "NaN"),
        ("error", "no JSON"),
        ("crashes", 40_000),
        ("delay", 1e300),
    ],
)
def test_an_outcome_is_a_failed_attempt_of_its_step_alone(
    start: Start, ledger: Path, odd: dict[str, Any], name: str, value: Any
) -> None:
    odd[name] = value
    beside = start(*[NewStep(f"s{i}", tool="PROBE_SLEEP", arguments={"seconds": 0.5}) for i in range(3)])
    broken = start(NewStep("odd", tool="PROBE_SLEEP", arguments={"seconds": 0.5}, max_attempts=1), *chain(1))
    work(beside, broken, limit=30)
    assert beside.status == "completed"
    assert len([line for line in lines(ledger, "start") if line[1] != "odd"]) == 3, "no neighbor was cut off"
    assert broken.status == "failed"
    step = broken.steps.get(index=0)
    assert (step.status, step.attempt, code_of(step)) == ("failed", 1, "not_storable")
    assert broken.steps.get(index=1).status == "completed"


def test_such_an_attempt_is_tried_again_within_the_policy(start: Start, ledger: Path, odd: dict[str, Any]) -> None:
    odd["model"] = "m" * 300
    broken = start(NewStep("odd", tool="PROBE_SLEEP", max_attempts=2))
    work(broken, limit=30)
    assert broken.steps.get().attempt == 2
    assert error_of(broken)["code"] == "not_storable"


def test_a_job_whose_rows_cannot_be_changed_fails_and_the_others_go_on(
    start: Start, ledger: Path, odd: dict[str, Any]
) -> None:
    """Its own failure is rejected too."""
    odd["model"] = "m" * 300
    broken = start(NewStep("odd", tool="PROBE_SLEEP", arguments={"seconds": 0.5}, max_attempts=1))
    # One more failed step is out of the column's range.
    WorkflowExecution.objects.filter(pk=broken.pk).update(steps_failed=2**31 - 1)
    work(broken, start(*chain(2, "PROBE_SLEEP")), limit=30)
    assert (broken.status, code_of(broken)) == ("failed", "broken_rows")


def test_a_due_job_that_makes_every_claim_fail_is_found(start: Start, ledger: Path) -> None:
    broken = start(NewStep("broken", tool="PROBE_SLEEP"))
    make_claims_fail(broken)
    others = [start(*chain(2, "PROBE_SLEEP")) for _ in range(3)]
    work(broken, *others, limit=30)
    assert [other.status for other in others] == ["completed"] * 3
    assert (broken.status, code_of(broken)) == ("failed", "broken_rows")
    assert not lines(ledger, "start broken")


@pytest.mark.parametrize(
    ("reported", "stored"),
    [(50, 50), (None, None), (10**9, 100), (10**400, None), (-5, 0), (12.7, 12), ("half", None),
     (float("inf"), 100), (float("-inf"), 0), (True, 1), ([], None)],
)  # fmt: skip
def test_odd_progress_is_stored_as_a_percentage_or_not_at_all(reported: Any, stored: int | None) -> None:
    assert valid_percent(reported) == stored


def test_odd_progress_stops_no_step(start: Start, ledger: Path) -> None:
    job = start(NewStep("odd", tool="PROBE_REPORT"))
    beside = start(NewStep("s", tool="PROBE_SLEEP", arguments={"seconds": 0.5}))
    work(job, beside, limit=30)
    assert (job.status, beside.status) == ("completed", "completed")


def code_of(row: WorkflowExecution | WorkflowStep) -> str:
    return str((row.error or {}).get("code"))


def test_a_result_beside_a_broken_job_is_kept(start: Start, ledger: Path) -> None:
    """The runner offers it in one turn with a look at the queue, and it is the look that fails."""
    good = start(NewStep("good", tool="PROBE_SLEEP", arguments={"seconds": 1.0}, max_attempts=1))
    broken = start(NewStep("broken", tool="PROBE_SLEEP"))

    async def break_it(runner: Runner) -> None:
        while not runner.held:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(in_other_thread, lambda: make_claims_fail(broken))

    WorkflowExecution.objects.filter(pk=broken.pk).update(wake_at=timezone.now() + timedelta(seconds=0.8))
    work(good, broken, during=break_it, limit=30)
    assert (good.status, good.steps.get().attempt) == ("completed", 1)
    assert (broken.status, code_of(broken)) == ("failed", "broken_rows")


def test_the_next_steps_of_its_neighbors_are_not_lost(start: Start, ledger: Path, odd: dict[str, Any]) -> None:
    """Otherwise, they would be running, held by nobody, until their leases run out."""
    odd["model"] = "m" * 300
    beside = [start(NewStep("s0", tool="PROBE_SLEEP", arguments={"seconds": 0.5}), behind("s1")) for _ in range(3)]
    broken = start(NewStep("odd", tool="PROBE_SLEEP", arguments={"seconds": 0.5}, max_attempts=1))
    work(*beside, broken, limit=25)
    assert [job.status for job in beside] == ["completed"] * 3
    assert {step.crashes for job in beside for step in job.steps.all()} == {0}


def test_it_is_found_behind_hundreds_of_jobs_of_a_lower_queue(start: Start, ledger: Path) -> None:
    for _ in range(LIMIT + 1):
        start(NewStep("later", tool="PROBE_SLEEP"), queue="low")
    broken = start(NewStep("broken", tool="PROBE_SLEEP"), queue="high")
    make_claims_fail(broken)
    work(broken, sizes=SlotSizes(coroutines=2), limit=30)
    assert (broken.status, code_of(broken)) == ("failed", "broken_rows")


def behind(name: str) -> NewStep:
    return NewStep(name, tool="PROBE_SLEEP", arguments={}, depends_on=[0])


def make_claims_fail(execution: WorkflowExecution) -> None:
    """One more attempt is out of the column's range."""
    WorkflowStep.objects.filter(execution=execution).update(attempt=2**31 - 1)
