"""Jobs, steps and audit events as the API, the pages and the command line display them.

Each shape has one function that builds it, for a whole page of rows in a fixed number of queries. The values are plain
and frozen: pages compare them to find out what changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import BooleanField, ExpressionWrapper, F, Model, Q, QuerySet

from aiworkstation.audit.models import AuditEvent
from aiworkstation.web.serializers import milliseconds
from documents.lookup import CLIENT_ID
from jobs.job_type import find_job_type
from jobs.large_json import MAX_OUTPUT, LargeJson, read_up_to
from jobs.lookup import MAX_DESCRIPTION
from workflows import model_usage
from workflows.engine.why_waiting import waiting_for
from workflows.llm.offline import OFFLINE
from workflows.model_usage import Usage, usage_json, usage_of, usage_of_sums
from workflows.models import (
    FINISHED_EXECUTION,
    RETRYABLE_EXECUTION,
    RETRYABLE_STEP,
    ExecutionStatus,
    StepStatus,
    WorkflowExecution,
    WorkflowStep,
)
from workflows.tools.approval import Approval

Shape = TypeVar("Shape", "Job", "Step", "Event")
STEPS_SHOWN = 100
HAS_OUTPUT = ExpressionWrapper(Q(output__isnull=False), output_field=BooleanField())
"""Annotate it as `has_output` to defer a step's output and still know whether there is one."""
STEP_OBJECT = "step:"
"""How the `object` of a step's audit event begins."""

# Finished steps of any kind count as 100.
SUMS = f"""
SELECT execution_id,
  sum(CASE WHEN status IN ('completed', 'failed', 'skipped', 'cancelled') THEN 100 ELSE progress END)::bigint,
  {model_usage.SUMS}
FROM workflow_steps WHERE execution_id = ANY(%s) GROUP BY execution_id
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of the job's steps, `percent` of the work, and the message of the first running step that has one."""

    total: int
    running: int
    finished: int
    completed: int
    failed: int
    percent: int
    message: str


@dataclass(frozen=True, slots=True)
class CurrentStep:
    """The step that a job is at: its first running step, or if none is running, the first that waits."""

    index: int
    name: str
    attempt: int
    message: str

    @property
    def number(self) -> int:
        return self.index + 1


NO_SUMS = (0, Usage())
"""The sum of the steps' progress, and their usage."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job. `waiting_for` says why it is not running; it is empty while a worker runs it and when it is finished.

    `output` is None if it was not asked for, and a LargeJson if it is larger than was asked for.
    """

    id: UUID
    job_type: str
    name: str
    description: str
    owner: str
    status: str
    waiting_for: str
    mode: str
    model_id: str
    project_id: str
    tags: tuple[str, ...]
    queue: str
    progress: Progress
    current: CurrentStep | None
    output: Any
    error: dict[str, Any] | None
    usage: Usage
    rerun_of: UUID | None
    reused: dict[str, Any] | None
    workflow_id: UUID | None
    workflow_name: str
    workflow_version: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    changed_at: datetime

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED_EXECUTION

    @property
    def is_retryable(self) -> bool:
        return self.status in RETRYABLE_EXECUTION

    @property
    def duration_ms(self) -> int | None:
        """0 for a job that ended before it started."""
        return milliseconds(self.started_at or self.finished_at, self.finished_at)

    @property
    def lists_files(self) -> bool:
        """Whether the job's page shows a table of files instead of steps."""
        job_type = find_job_type(self.job_type)
        return job_type is not None and job_type.lists_files


@dataclass(frozen=True, slots=True)
class StepApproval:
    """What a person is asked. `arguments` is a LargeJson, or None, if those of the step are.

    `until` is None once the time is up.
    """

    question: str
    arguments: Any
    may_answer: tuple[str, ...]
    until: datetime | None
    answered_by: str
    answer: str
    comment: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A step. `depends_on` holds the names of other steps.

    `output` is None if it was not loaded. Then `has_output` still says whether there is one. What is larger than was
    asked for is a LargeJson.
    """

    id: UUID
    job_id: UUID
    index: int
    name: str
    description: str
    tool: str
    depends_on: tuple[str, ...]
    status: str
    attempt: int
    attempts_before: int
    max_attempts: int
    progress: int
    message: str
    arguments: dict[str, Any] | LargeJson | None
    model: str
    usage: dict[str, Any] | None
    output: Any
    has_output: bool
    error: dict[str, Any] | None
    started_at: datetime | None
    finished_at: datetime | None
    next_attempt_at: datetime | None
    approval: StepApproval | None

    @property
    def number(self) -> int:
        return self.index + 1

    @property
    def duration_ms(self) -> int | None:
        return milliseconds(self.started_at, self.finished_at)

    @property
    def live_message(self) -> str:
        """The message, which means nothing once the step is over."""
        return self.message if self.status in (StepStatus.RUNNING, StepStatus.WAITING) else ""

    @property
    def attempts_text(self) -> str:
        """Counts the attempts since the user's last retry. Empty for a first attempt that is not waiting."""
        number = self.attempt - self.attempts_before
        if number > 1 or (number == 1 and self.status == StepStatus.WAITING):
            return f"attempt {number} of {self.max_attempts}"
        return ""

    @property
    def is_retryable(self) -> bool:
        """Whether a user may retry it once its job is finished."""
        return self.status in RETRYABLE_STEP

    @property
    def large_arguments(self) -> LargeJson | None:
        return self.arguments if isinstance(self.arguments, LargeJson) else None

    @property
    def usage_text(self) -> str:
        usage = usage_of(self.usage)
        return usage.text if usage else ""

    @property
    def is_offline(self) -> bool:
        return self.model == OFFLINE

    @property
    def document_id(self) -> str:
        """The id of the document that the step works on. Anything that cannot be an id, such as a secret, is none."""
        id = self.arguments.get("documentId") if isinstance(self.arguments, dict) else None
        return id if isinstance(id, str) and CLIENT_ID.fullmatch(id) else ""


@dataclass(frozen=True, slots=True)
class Event:
    """An audit event. `subject` is the name of its step if that was loaded, otherwise the noun of `object`."""

    id: int
    at: datetime
    actor: str
    action: str
    object: str
    changes: dict[str, Any]
    subject: str

    @property
    def changes_text(self) -> str:
        return _changes_text(self.changes)


def describe_jobs(
    executions: Sequence[WorkflowExecution], *, with_results: bool = True, max_output: int = 0
) -> list[Job]:
    """Returns the jobs in the order of the rows.

    Without `with_results`, finished jobs cost no query: their error and usage stay empty. Outputs are read only with
    `max_output`, and up to that many bytes.
    """
    queried = [row for row in executions if with_results or not row.is_finished]
    sums = _sums(queried) if queried else {}
    current = _current_steps(queried)
    errors = {row.pk: row.error for row in queried} | _errors(queried)
    outputs = _outputs(executions, max_output) if max_output else {}
    reasons = waiting_for(queried)
    return [
        _shape(
            Job,
            row,
            description=_description(row),
            owner=row.owner.get_username(),
            waiting_for=reasons.get(row.pk, ""),
            tags=tuple(row.tags),
            progress=_progress(row, sums.get(row.pk, NO_SUMS)[0], current.get(row.pk)),
            current=current.get(row.pk),
            output=outputs.get(row.pk),
            error=errors.get(row.pk),
            usage=sums.get(row.pk, NO_SUMS)[1],
        )
        for row in executions
    ]


def _shape(shape: type[Shape], row: Model, **values: Any) -> Shape:
    """Returns the shape with these values. Its other fields have the same names in the row."""
    others = {name: getattr(row, name) for name in (field.name for field in fields(shape)) if name not in values}
    return shape(**others, **values)


def _sums(executions: Sequence[WorkflowExecution]) -> dict[UUID, tuple[int, Usage]]:
    """For each job the sum of its steps' progress, and their usage."""
    with connection.cursor() as cursor:
        cursor.execute(SUMS, [[row.pk for row in executions]])
        rows = cursor.fetchall()
    return {key: (progress, usage_of_sums(*usage)) for key, progress, *usage in rows}


def _progress(row: WorkflowExecution, progress_sum: int, current: CurrentStep | None) -> Progress:
    """Only a finished job is at 100 percent, even if its steps report 100 earlier."""
    is_running = current is not None and row.status == ExecutionStatus.RUNNING
    message = f"{current.name}: {current.message}" if is_running and current and current.message else ""
    percent = 100 if row.is_finished else min(99, progress_sum // max(row.steps_total, 1))
    return Progress(
        total=row.steps_total,
        running=row.steps_running,
        finished=row.steps_finished,
        completed=row.steps_completed,
        failed=row.steps_failed,
        percent=percent,
        message=message,
    )


def _current_steps(executions: Sequence[WorkflowExecution]) -> dict[UUID, CurrentStep]:
    """For each running job its first running step, if possible one with a message. For each waiting job its first
    waiting step: not for a job over files, where thousands may wait.
    """
    running = [row.pk for row in executions if row.status == ExecutionStatus.RUNNING]
    waiting = [row.pk for row in executions if row.status == ExecutionStatus.WAITING and not row.tolerates_failures]
    steps = WorkflowStep.objects.filter(
        Q(execution__in=running, status=StepStatus.RUNNING) | Q(execution__in=waiting, status=StepStatus.WAITING)
    )
    has_none = ExpressionWrapper(Q(message=""), output_field=BooleanField())
    first = steps.order_by("execution_id", has_none, "index").distinct("execution_id")
    found = first.values_list("execution_id", "index", "name", F("attempt") - F("attempts_before"), "message")
    return {key: CurrentStep(*step) for key, *step in found}


def _errors(executions: Sequence[WorkflowExecution]) -> dict[UUID, dict[str, Any] | None]:
    """For each failed job without an error of its own the error of its first failed step."""
    ids = [row.pk for row in executions if row.status == ExecutionStatus.FAILED and not row.error]
    steps = WorkflowStep.objects.filter(execution__in=ids, status=StepStatus.FAILED)
    return dict(_first_of_each(steps, "index").values_list("execution_id", "error"))


def _description(row: WorkflowExecution) -> str:
    """Lists load only the beginning."""
    beginning: str | None = getattr(row, "description_beginning", None)
    if beginning is None:
        return row.description
    return beginning if len(beginning) <= MAX_DESCRIPTION else beginning[:MAX_DESCRIPTION] + "…"


def last_steps(executions: Sequence[WorkflowExecution]) -> dict[UUID, UUID]:
    """For each finished job the step whose output is the job's. Jobs whose steps are independent have none."""
    ids = [row.pk for row in executions if row.is_finished and not row.tolerates_failures]
    steps = WorkflowStep.objects.filter(execution__in=ids)
    return dict(_first_of_each(steps, "-index").values_list("execution_id", "pk"))


def _outputs(executions: Sequence[WorkflowExecution], most: int) -> dict[UUID, Any]:
    steps = last_steps(executions)
    outputs = read_up_to(most, WorkflowStep, "output", steps.values())
    return {job: outputs.get(step) for job, step in steps.items()}


def _first_of_each(steps: QuerySet[WorkflowStep], order: str) -> QuerySet[WorkflowStep]:
    return steps.order_by("execution_id", order).distinct("execution_id")


def describe_steps(
    rows: Sequence[WorkflowStep], *, with_names: bool = False, with_outputs: bool = False, max_arguments: int = 0
) -> list[Step]:
    """Returns steps of one job in the order of the rows.

    Each of the following costs one query: `with_names` fills `depends_on`; `with_outputs` reads outputs up to
    MAX_OUTPUT, which the rows should then defer; `max_arguments` reads arguments up to so many bytes, likewise.
    """
    ids = [row.pk for row in rows]
    outputs = read_up_to(MAX_OUTPUT, WorkflowStep, "output", ids) if with_outputs else None
    arguments = read_up_to(max_arguments, WorkflowStep, "arguments", ids) if max_arguments else None
    names: dict[int, str] = {}
    if with_names:
        indexes = {index for row in rows for index in row.depends_on}
        executions = {row.execution_id for row in rows}
        named = WorkflowStep.objects.filter(execution__in=executions, index__in=indexes)
        names = dict(named.values_list("index", "name"))
    asked = {row.execution_id for row in rows if row.approval}
    owners = _owners(asked) if asked else {}
    return [
        _step(
            row,
            names,
            _loaded(row, "output", outputs),
            _loaded(row, "arguments", arguments),
            owners.get(row.execution_id, ""),
        )
        for row in rows
    ]


def _owners(executions: set[UUID]) -> dict[UUID, str]:
    named = WorkflowExecution.objects.filter(pk__in=executions)
    return dict(named.values_list("pk", "owner__username"))


def _loaded(row: WorkflowStep, column: str, read: Mapping[UUID, Any] | None) -> Any:
    """What was read beside the row, or what the row has loaded."""
    if read is not None:
        return read.get(row.pk)
    return None if column in row.get_deferred_fields() else getattr(row, column)


def _approval(row: WorkflowStep, owner: str, arguments: Any) -> StepApproval | None:
    asked = row.approval
    if not isinstance(asked, dict):
        return None
    is_open = row.status == StepStatus.WAITING and row.answer_by is not None and "answer" not in asked
    until = datetime.fromisoformat(asked["until"]) if "until" in asked else row.answer_by
    shows_part = row.tool == Approval.slug and isinstance(arguments, dict)
    return StepApproval(
        question=asked["question"],
        arguments=arguments.get("show") if shows_part else arguments,
        may_answer=tuple(name for name in (owner, asked.get("group"), "staff") if name),
        until=until,
        answered_by=asked.get("answeredBy", ""),
        answer=asked.get("answer", ""),
        comment=asked.get("comment", ""),
        is_open=is_open,
    )


def _step(row: WorkflowStep, names: Mapping[int, str], output: Any, arguments: Any, owner: str) -> Step:
    return _shape(
        Step,
        row,
        job_id=row.execution_id,
        depends_on=tuple(names[index] for index in row.depends_on) if names else (),
        arguments=arguments,
        usage=usage_json(row.usage),
        output=output,
        has_output=getattr(row, "has_output", output is not None),
        next_attempt_at=row.ready_at if row.status == StepStatus.WAITING else None,
        approval=_approval(row, owner, arguments),
    )


def describe_events(events: Sequence[AuditEvent], *, with_names: bool = False) -> list[Event]:
    """Returns the events in their order. `subject` names the step only if `with_names` is set: it costs one query."""
    names: dict[str, str] = {}
    if with_names:
        ids = [event.object.removeprefix(STEP_OBJECT) for event in events if event.object.startswith(STEP_OBJECT)]
        found = WorkflowStep.objects.filter(pk__in=ids).values_list("pk", "name")
        names = {f"{STEP_OBJECT}{key}": name for key, name in found}
    return [_shape(Event, event, subject=names.get(event.object, event.object.partition(":")[0])) for event in events]


def _changes_text(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {_change_text(value)}" for name, value in changes.items() if value is not None)


def _change_text(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['code']} – {value.get('message', '')}" if "code" in value else _changes_text(value)
    return ", ".join(map(_change_text, value)) if isinstance(value, list) else str(value)
