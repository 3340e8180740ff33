"""Outcomes that come at about the same time share a commit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import Start
from tests.engine.test_runner import work
from workflows.steps import NewStep, Outcome
from workflows.transaction import Verb
from workflows.turn import Holder, Wanted, Worked, turn

pytestmark = pytest.mark.django_db(transaction=True)


def test_steps_that_end_at_about_the_same_time_are_recorded_together(
    start: Start, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.runner.GATHER", 2.0)
    recorded: list[int] = []

    def counted(holder: Holder, outcomes: Sequence[Outcome], wanted: Sequence[Wanted], **options: Any) -> Verb[Worked]:
        recorded.append(len(outcomes))
        return turn(holder, outcomes, wanted, **options)

    monkeypatch.setattr("workflows.runner.turn", counted)
    work(start(*(NewStep(f"s{i}", tool="PROBE_SLEEP", arguments={"seconds": 0.3 * i}) for i in range(5))))
    turns = [number for number in recorded if number]
    assert sum(turns) == 5
    assert len(turns) <= 2
