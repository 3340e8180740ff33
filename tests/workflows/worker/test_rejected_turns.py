"""Values that the database rejects fail the step or the job that brings them, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from tests.workflows.conftest import Start, chain, error_of
from tests.workflows.worker.test_runner import lines, work
from workflows.engine.claims import Claim
from workflows.engine.outcomes import Outcome
from workflows.models import WorkflowExecution, WorkflowStep
from workflows.steps import NewStep
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
    # One more attempt is out of the column's range.
    WorkflowStep.objects.filter(execution=broken).update(attempt=2**31 - 1)
    others = [start(*chain(2, "PROBE_SLEEP")) for _ in range(3)]
    work(broken, *others, limit=30)
    assert [other.status for other in others] == ["completed"] * 3
    assert (broken.status, code_of(broken)) == ("failed", "broken_rows")
    assert not lines(ledger, "start broken")


def code_of(row: WorkflowExecution | WorkflowStep) -> str:
    return str((row.error or {}).get("code"))
