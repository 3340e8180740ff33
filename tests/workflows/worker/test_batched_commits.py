"""Steps that end at about the same time are recorded in one commit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection

from tests.support.runner import work
from tests.workflows.conftest import Start
from workflows.engine.outcomes import Outcome
from workflows.engine.query import Row
from workflows.engine.turn import TurnResult, WorkerInfo, take_turn
from workflows.steps import NewStep

pytestmark = pytest.mark.django_db(transaction=True)


def test_steps_that_end_at_about_the_same_time_are_recorded_together(
    start: Start, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.worker.runner.BATCH_SECONDS", 2.0)
    recorded: list[int] = []

    async def counted(
        connection: AsyncConnection[Row], worker: WorkerInfo, outcomes: Sequence[Outcome], *rest: Any, **options: Any
    ) -> TurnResult:
        recorded.append(len(outcomes))
        return await take_turn(connection, worker, outcomes, *rest, **options)

    monkeypatch.setattr("workflows.worker.runner.take_turn", counted)
    work(start(*(NewStep(f"s{i}", tool="PROBE_SLEEP", arguments={"seconds": 0.3 * i}) for i in range(5))))
    turns = [number for number in recorded if number]
    assert sum(turns) == 5
    assert len(turns) <= 2
