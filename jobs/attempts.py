"""The attempts of a step, from its audit events: the engine keeps no other history of them."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from aiworkstation.audit.models import AuditEvent
from jobs.display import STEP_OBJECT
from workflows.model_usage import usage_json
from workflows.models import FINISHED_STEP, StepStatus, WorkflowStep

# The status of the attempt after each event. A run that does not count is followed by another one with the same number.
_STATUS_AFTER = {
    "step.completed": StepStatus.COMPLETED,
    "step.failed": StepStatus.FAILED,
    "step.retry_scheduled": StepStatus.FAILED,
    "step.cancelled": StepStatus.CANCELLED,
    "step.waiting": StepStatus.WAITING,
    "step.handed_over": StepStatus.WAITING,
    "step.approval_requested": StepStatus.WAITING,
    "step.returned": StepStatus.READY,
    "step.crashed": StepStatus.READY,
    "step.lease_lost": StepStatus.READY,
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt. Its times and its worker are those of its last run."""

    attempt: int
    worker: str
    started_at: datetime
    status: str = StepStatus.RUNNING
    finished_at: datetime | None = None
    error: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None


def attempts_of(step: WorkflowStep) -> list[Attempt]:
    """Returns the attempts in order."""
    events = AuditEvent.objects.filter(execution_id=step.execution_id, object=f"{STEP_OBJECT}{step.pk}")
    attempts: dict[int, Attempt] = {}
    for event in events.order_by("pk"):
        number = event.changes.get("attempt", max(attempts, default=0))
        if event.action == "step.started":
            attempts[number] = Attempt(number, event.actor, event.at)
        elif number in attempts:
            attempts[number] = _after(attempts[number], event)
    return list(attempts.values())


def _after(attempt: Attempt, event: AuditEvent) -> Attempt:
    status = _STATUS_AFTER.get(event.action)
    if status is None or attempt.status in FINISHED_STEP:
        return attempt
    return replace(
        attempt,
        status=status.value,
        finished_at=event.at if status in FINISHED_STEP else None,
        error=event.changes.get("error"),
        usage=usage_json(event.changes.get("usage")),
    )
