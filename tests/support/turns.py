"""Takes a worker's turn on Django's connection, inside the test's transaction."""

from collections.abc import Sequence
from uuid import UUID

from workflows.engine.notifications import notify
from workflows.engine.outcomes import Outcome
from workflows.engine.query import rows_of
from workflows.engine.turn import (
    TURN,
    Demand,
    TurnResult,
    WorkerInfo,
    notifications_of,
    turn_parameters,
    turn_result,
)


def turn(
    worker: WorkerInfo, outcomes: Sequence[Outcome], demands: Sequence[Demand], *, only: UUID | None = None
) -> TurnResult:
    ((answer,),) = rows_of(TURN, **turn_parameters(worker, outcomes, demands, only=only))
    result = turn_result(answer, outcomes)
    notify(notifications_of(result, outcomes))
    return result
