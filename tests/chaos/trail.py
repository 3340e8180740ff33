"""What the audit trail says about the run: each claim of a step, and how it ended."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from aiworkstation.audit.models import AuditEvent
from workflows.models import WorkflowExecution, WorkflowStep

STARTED = "step.started"
FINAL = {"step.completed", "step.failed", "step.skipped", "step.cancelled"}
OUTCOMES = {*FINAL, "step.retry_scheduled", "step.waiting"}
"""How a run of a step ends by itself. The other ends come from a fault at its worker."""
ENDS = {*OUTCOMES, "step.returned", "step.crashed", "step.lease_lost"}


@dataclass(slots=True)
class Claim:
    """A claim of a step by the worker `pid`. Times are seconds since the epoch, by the database's clock."""

    step: str
    pid: int
    began: float
    ended: float = 0.0
    end: str = ""
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.step} in {self.pid}, {self.began:.2f} to {self.ended:.2f}: {self.end or 'open'} {self.reason}"


@dataclass
class Trail:
    executions: list[WorkflowExecution]
    steps: dict[str, WorkflowStep]
    claims: list[Claim] = field(default_factory=list)
    finals: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    problems: list[str] = field(default_factory=list)
    """Ends without a claim or by a process that did not hold it, and claims while another one was open."""
    most_at_once: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    """The largest number of claims of an execution that were open at once."""
    refused: int = 0
    stranded: int = 0
    per_action: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def steps_of(self, execution: WorkflowExecution) -> list[WorkflowStep]:
        return [step for step in self.steps.values() if step.execution_id == execution.pk]

    def claims_of(self, step: str) -> Iterator[Claim]:
        return (claim for claim in self.claims if claim.step == step)


def read() -> Trail:
    """Reads the events in the order of their ids, which are assigned while the execution is locked."""
    steps = {str(step.pk): step for step in WorkflowStep.objects.order_by("execution_id", "index")}
    trail = Trail(list(WorkflowExecution.objects.all()), steps)
    running: dict[str, Claim] = {}
    for event in AuditEvent.objects.order_by("id"):
        trail.per_action[event.action] += 1
        trail.refused += event.action == "step.result_refused"
        trail.stranded += event.action == "job.stranded"
        step = event.object.removeprefix("step:")
        if event.action == STARTED:
            _begin(trail, running, event, step)
        elif event.action in ENDS:
            _end(trail, running, event, step)
    return trail


def _pid(event: AuditEvent) -> int:
    """The process id of the worker that caused the event."""
    return int(event.actor.rpartition(":")[2])


def _begin(trail: Trail, running: dict[str, Claim], event: AuditEvent, step: str) -> None:
    claim = Claim(step, _pid(event), event.at.timestamp())
    if step in running:
        trail.problems.append(f"{claim} while another claim is open")
    running[step] = claim
    trail.claims.append(claim)
    assert event.execution_id
    now = sum(trail.steps[other].execution_id == event.execution_id for other in running)
    trail.most_at_once[event.execution_id] = max(trail.most_at_once[event.execution_id], now)


def _end(trail: Trail, running: dict[str, Claim], event: AuditEvent, step: str) -> None:
    changes: dict[str, Any] = event.changes
    claim = running.pop(step, None)
    if claim:
        claim.end, claim.reason, claim.ended = event.action, str(changes.get("reason", "")), event.at.timestamp()
        if event.actor.startswith("worker ") and _pid(event) != claim.pid:
            trail.problems.append(f"{claim}, recorded by {_pid(event)}, which did not hold it")
    elif event.action not in ("step.cancelled", "step.skipped"):
        trail.problems.append(f"{event.action} of step {step}, which nobody had claimed")
    if event.action in FINAL:
        trail.finals[step].append(event.action)
