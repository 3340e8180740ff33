"""Jobs driven by hand: a worker's turns without a worker."""

from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.models import User

from jobs.start import start
from tests.support.turns import turn
from workflows import tools
from workflows.engine.claims import Claim
from workflows.engine.outcomes import Outcome
from workflows.engine.turn import Demand, WorkerInfo
from workflows.errors import StepError
from workflows.models import WorkflowExecution
from workflows.tools import Slot

WORKER = WorkerInfo(uuid4(), "test worker", 30.0, tools.known_slugs())
SLOTS: tuple[Slot, ...] = ("async", "thread", "process")

BODY: dict[str, Any] = {
    "jobType": "workflow",
    "payload": {"workflowName": "Two steps", "steps": [{"name": "One"}, {"name": "Two"}]},
}


def start_job(user: User, **changes: Any) -> WorkflowExecution:
    """A workflow of two model steps; `changes` are of the body."""
    return start(user, BODY | changes)[0]


def claim(execution: UUID, number: int = 1) -> list[Claim]:
    """Up to `number` of its steps, begun."""
    claims: list[Claim] = []
    for slot in SLOTS * number:
        if len(claims) < number:
            claims += turn(WORKER, [], [Demand(slot, free=1)], only=execution).claims
    return claims


def complete(claim: Claim, output: Any = None, **outcome: Any) -> None:
    turn(WORKER, [Outcome.completed(claim, output, **outcome)], [])


def fail(claim: Claim, message: str = "it broke", *, retryable: bool = False) -> None:
    turn(WORKER, [Outcome.failed(claim, StepError(message, retryable=retryable))], [])


def complete_all(execution: WorkflowExecution, output: Any = None) -> None:
    while claims := claim(execution.pk):
        complete(claims[0], output)
