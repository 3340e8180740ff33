"""Jobs and steps as the API shows them: for a page of jobs a fixed number of queries."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from aiworkstation.web.paging import Page, page
from aiworkstation.web.serializers import milliseconds
from documents.lookup import CLIENT_ID
from workflows.engine.why_waiting import waiting_for
from workflows.models import ExecutionStatus, StepStatus, WorkflowExecution, WorkflowStep

STEPS = 100

# Finished steps of any kind count as whole. A cost is known where every step that used a model knows its own.
FIGURES = """
SELECT execution_id,
  sum(CASE WHEN status IN ('completed', 'failed', 'skipped', 'cancelled') THEN 100 ELSE progress END)::bigint,
  coalesce(sum((usage->>'inputTokens')::bigint), 0)::bigint,
  coalesce(sum((usage->>'outputTokens')::bigint), 0)::bigint,
  CASE WHEN bool_and(usage->>'costUsd' IS NOT NULL) FILTER (WHERE jsonb_typeof(usage) = 'object')
    THEN sum((usage->>'costUsd')::numeric) END
FROM workflow_steps WHERE execution_id = ANY(%s) GROUP BY execution_id
"""


@dataclass(frozen=True, slots=True)
class Progress:
    total: int
    completed: int
    failed: int
    percent: int
    message: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Summed over the steps. `cost` is in US dollars, None where no price is known."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None

    @property
    def cost_text(self) -> str | None:
        return None if self.cost is None else f"{self.cost:f}"


@dataclass(frozen=True, slots=True)
class Job:
    """A job with what its steps say. `waiting_for` is empty while it runs, and when it is finished."""

    execution: WorkflowExecution
    progress: Progress
    usage: Usage
    output: Any
    error: dict[str, Any] | None
    waiting_for: str

    @property
    def duration(self) -> int | None:
        """Milliseconds; 0 for a job that ended before it began."""
        end = self.execution.finished_at
        return milliseconds(self.execution.started_at or end, end)


@dataclass(frozen=True, slots=True)
class Step:
    """A step, with the names of those that it waits for."""

    row: WorkflowStep
    depends_on: list[str]

    @property
    def duration(self) -> int | None:
        return milliseconds(self.row.started_at, self.row.finished_at)

    @property
    def next_attempt_at(self) -> Any:
        return self.row.ready_at if self.row.status == StepStatus.WAITING else None


@dataclass(frozen=True, slots=True)
class _Figures:
    progress: int = 0
    usage: Usage = Usage()


def describe(executions: Sequence[WorkflowExecution]) -> list[Job]:
    figures = _figures([execution.pk for execution in executions])
    speaking = _speaking(executions)
    errors = _errors(executions)
    outputs = _outputs(executions)
    waiting = waiting_for(executions)
    return [
        Job(
            execution=execution,
            progress=_progress(
                execution, figures.get(execution.pk, _Figures()).progress, speaking.get(execution.pk, "")
            ),
            usage=figures.get(execution.pk, _Figures()).usage,
            output=outputs.get(execution.pk),
            error=execution.error or errors.get(execution.pk),
            waiting_for=waiting.get(execution.pk, ""),
        )
        for execution in executions
    ]


def _progress(execution: WorkflowExecution, points: int, message: str) -> Progress:
    """100 per cent only when the job is finished: a step may say so of itself before it is."""
    percent = 100 if execution.is_finished else min(99, points // max(execution.steps_total, 1))
    return Progress(execution.steps_total, execution.steps_completed, execution.steps_failed, percent, message)


def _figures(ids: list[UUID]) -> dict[UUID, _Figures]:
    with connection.cursor() as cursor:
        cursor.execute(FIGURES, [ids])
        rows = cursor.fetchall()
    return {key: _Figures(points, Usage(*usage)) for key, points, *usage in rows}


def _speaking(executions: Sequence[WorkflowExecution]) -> dict[UUID, str]:
    """Of each running job the message of its first running step that has one."""
    ids = [execution.pk for execution in executions if execution.status == ExecutionStatus.RUNNING]
    steps = WorkflowStep.objects.filter(execution__in=ids, status=StepStatus.RUNNING).exclude(message="")
    rows = _first_of_each(steps, "index").values_list("execution_id", "name", "message")
    return {key: f"{name}: {message}" for key, name, message in rows}


def _errors(executions: Sequence[WorkflowExecution]) -> dict[UUID, dict[str, Any] | None]:
    """Of each failed job the error of its first failed step."""
    ids = [execution.pk for execution in executions if execution.status == ExecutionStatus.FAILED]
    steps = WorkflowStep.objects.filter(execution__in=ids, status=StepStatus.FAILED)
    return dict(_first_of_each(steps, "index").values_list("execution_id", "error"))


def _outputs(executions: Sequence[WorkflowExecution]) -> dict[UUID, Any]:
    """What the last step gave, once the job is finished; steps beside one another have no last one."""
    ids = [each.pk for each in executions if each.is_finished and not each.tolerates_failures]
    steps = WorkflowStep.objects.filter(execution__in=ids)
    return dict(_first_of_each(steps, "-index").values_list("execution_id", "output"))


def _first_of_each(steps: QuerySet[WorkflowStep], order: str) -> QuerySet[WorkflowStep]:
    return steps.order_by("execution_id", order).distinct("execution_id")


def steps_of(
    execution: WorkflowExecution, *, statuses: Collection[str] = (), limit: int = STEPS, cursor: str = ""
) -> tuple[list[Step], str | None]:
    """A page of its steps, oldest first, and the cursor behind it."""
    rows = WorkflowStep.objects.filter(execution=execution)
    if statuses:
        rows = rows.filter(status__in=statuses)
    found: Page[WorkflowStep] = page(rows, ("index",), limit=limit, cursor=cursor)
    return _with_names(found.rows), found.next_cursor


def describe_step(row: WorkflowStep) -> Step:
    return _with_names([row])[0]


def _with_names(rows: Sequence[WorkflowStep]) -> list[Step]:
    """Steps of one job."""
    wanted = {parent for row in rows for parent in row.depends_on}
    executions = {row.execution_id for row in rows}
    named = WorkflowStep.objects.filter(execution__in=executions, index__in=wanted).values_list("index", "name")
    names = dict(named)
    return [Step(row, [names[parent] for parent in row.depends_on]) for row in rows]


def document_id(arguments: Mapping[str, Any]) -> str:
    """The id of the document that the step works on; what may not be one, such as a secret to come, is none."""
    id = arguments.get("documentId")
    return id if isinstance(id, str) and CLIENT_ID.fullmatch(id) else ""


def error_of(step: WorkflowStep) -> tuple[str, str] | None:
    """Code and message."""
    return (step.error.get("code", ""), step.error.get("message", "")) if step.error else None
