"""What pages show of jobs and their steps: plain values, read in as few queries as it takes.

They are compared to see whether a page is still up to date, so two that look the same are equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, ExpressionWrapper, Q

from aiworkstation.audit.models import AuditEvent
from jobs import types
from jobs.displayed_job import Job, describe, document_id, error_of
from jobs.pages.output_view import pretty
from workflows.llm.offline import OFFLINE
from workflows.models import (
    FINISHED_EXECUTION,
    RETRYABLE_EXECUTION,
    StepStatus,
    WorkflowExecution,
    WorkflowStep,
)

STEPS = 100
EVENTS = 20
STEP = "step:"


@dataclass(frozen=True)
class JobRow:
    id: UUID
    name: str
    description: str
    owner: str
    job_type: str
    mode: str
    model_id: str
    project_id: str
    tags: tuple[str, ...]
    queue: str
    status: str
    percent: int
    total: int
    completed: int
    failed: int
    message: str
    waiting_for: str
    error: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def lists_files(self) -> bool:
        job_type = types.get(self.job_type)
        return job_type is not None and job_type.lists_files

    @property
    def is_unfinished(self) -> bool:
        return self.status not in FINISHED_EXECUTION

    @property
    def is_retryable(self) -> bool:
        return self.status in RETRYABLE_EXECUTION

    @property
    def seconds(self) -> float | None:
        return seconds_between(self.started_at, self.finished_at)


@dataclass(frozen=True)
class StepRow:
    id: UUID
    index: int
    name: str
    description: str
    tool: str
    status: str
    attempt: int
    attempts: str
    progress: int
    message: str
    error: tuple[str, str] | None
    next_attempt_at: datetime | None
    seconds: float | None
    model: str
    usage: str
    arguments: str
    document: str
    has_output: bool

    @property
    def number(self) -> int:
        return self.index + 1

    @property
    def is_offline(self) -> bool:
        return self.model == OFFLINE


@dataclass(frozen=True)
class EventRow:
    at: datetime
    action: str
    actor: str
    what: str
    changes: str


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    return (end - start).total_seconds() if start and end else None


def job_rows(executions: Sequence[WorkflowExecution]) -> list[JobRow]:
    """For lists: a finished job needs no query, and shows no error."""
    unfinished = [execution for execution in executions if not execution.is_finished]
    described = {job.execution.pk: job for job in describe(unfinished)} if unfinished else {}
    return [job_row(execution, described.get(execution.pk)) for execution in executions]


def job_row(row: WorkflowExecution, job: Job | None) -> JobRow:
    """`job` is None for a finished one of which no more is to be told."""
    return JobRow(
        id=row.id,
        name=row.name,
        description=row.description,
        owner=row.owner.get_username(),
        job_type=row.job_type,
        mode=row.mode,
        model_id=row.model_id,
        project_id=row.project_id,
        tags=tuple(row.tags),
        queue=row.queue,
        status=row.status,
        percent=job.progress.percent if job else 100,
        total=row.steps_total,
        completed=row.steps_completed,
        failed=row.steps_failed,
        message=job.progress.message if job else "",
        waiting_for=job.waiting_for if job else "",
        error=(job.error or {}).get("message", "") if job else "",
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def step_rows(execution: WorkflowExecution, *, status: str = "", after: int = -1) -> tuple[list[StepRow], bool]:
    """Up to STEPS steps, and whether there are more. Outputs stay in the database."""
    steps = WorkflowStep.objects.filter(execution=execution, index__gt=after)
    if status:
        steps = steps.filter(status=status)
    has_output = ExpressionWrapper(Q(output__isnull=False), output_field=BooleanField())
    found = steps.defer("output").annotate(has_output=has_output).order_by("index")[: STEPS + 1]
    rows = [_step_row(step) for step in found]
    return rows[:STEPS], len(rows) > STEPS


def _step_row(step: Any) -> StepRow:
    """Of a step annotated with `has_output`."""
    speaks = step.status in (StepStatus.RUNNING, StepStatus.WAITING)
    return StepRow(
        id=step.id,
        index=step.index,
        name=step.name,
        description=step.description,
        tool=step.tool,
        status=step.status,
        attempt=step.attempt,
        attempts=attempts(step),
        progress=step.progress,
        message=step.message if speaks else "",
        error=error_of(step),
        next_attempt_at=step.ready_at if step.status == StepStatus.WAITING else None,
        seconds=seconds_between(step.started_at, step.finished_at),
        model=step.model,
        usage=_usage(step.usage or {}),
        arguments=pretty(step.arguments) if step.arguments else "",
        document=document_id(step.arguments or {}),
        has_output=step.has_output,
    )


def attempts(step: WorkflowStep) -> str:
    """The attempts of this round; an only one is not worth a word."""
    number = step.attempt - step.attempts_before
    if number > 1 or (number == 1 and step.status == StepStatus.WAITING):
        return f"attempt {number} of {step.max_attempts}"
    return ""


def _usage(usage: Mapping[str, Any]) -> str:
    return usage_text(usage.get("inputTokens", 0), usage.get("outputTokens", 0), usage.get("costUsd"))


def usage_text(input_tokens: int, output_tokens: int, cost: str | None) -> str:
    """Empty where no model was used, or none that counts."""
    if not input_tokens and not output_tokens:
        return ""
    return f"{input_tokens:,} tokens in, {output_tokens:,} out" + (f", ${cost}" if cost else "")


@dataclass(frozen=True)
class EventPage:
    """Newest first. `earlier` is the id before which the next page begins."""

    rows: list[EventRow]
    earlier: int | None


def event_page(execution: WorkflowExecution, *, before: int | None = None, limit: int = EVENTS) -> EventPage:
    events = AuditEvent.objects.filter(execution_id=execution.pk)
    if before is not None:
        events = events.filter(pk__lt=before)
    found = list(events.order_by("-pk")[: limit + 1])
    return EventPage(_described(found[:limit]), found[limit - 1].pk if len(found) > limit else None)


def _described(events: Sequence[AuditEvent]) -> list[EventRow]:
    """One query more, for the names of the steps."""
    steps = [event.object.removeprefix(STEP) for event in events if event.object.startswith(STEP)]
    named = WorkflowStep.objects.filter(pk__in=steps).values_list("pk", "name")
    names = {f"{STEP}{key}": name for key, name in named}
    return [
        EventRow(
            at=event.at,
            action=event.action,
            actor=event.actor,
            what=names.get(event.object, event.object.partition(":")[0]),
            changes=changes_text(event.changes),
        )
        for event in events
    ]


def changes_text(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {_plain(value)}" for name, value in changes.items() if value is not None)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['code']} – {value.get('message', '')}" if "code" in value else changes_text(value)
    return ", ".join(map(_plain, value)) if isinstance(value, list) else str(value)
