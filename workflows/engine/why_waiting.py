"""Why a job is not running, in a sentence."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID

from django.conf import settings
from django.db.models import Case, F, Value, When
from django.utils import timezone

from aiworkstation.web.serializers import wire_time
from workflows import tools
from workflows.engine.query import rows_of
from workflows.engine.retry_policy import ALONE_AFTER
from workflows.engine.turn import SCAN_OVERLAP
from workflows.models import CLAIMABLE, Pause, Queue, StepStatus, Worker, WorkflowExecution, WorkflowStep
from workflows.tools import Slot

LEAST_SILENCE = timedelta(seconds=5)
FULL_SCAN_EVERY = 10.0
"""Seconds between looks at the whole queue."""
NO_WORKER = "No worker is running. Start one with `manage.py work`."
ALL_DRAINED = "All workers are drained. Staff can let them take steps again on the page Workers."
DISTANT_PAST = datetime(1, 1, 1, tzinfo=UTC)

# The first row is the time since which the first execution has been due. The others are the positions of executions
# that run nothing, among those that need the same kind of slot. `workflow_pick` in sql/ picks in the same order: by
# queue, then by the time since which they have been due.
POSITIONS = """
WITH due AS MATERIALIZED (
  SELECT id, wake_at, next_slot, queue, steps_running FROM unnest(%(slots)s::text[]) slot, LATERAL (
    SELECT * FROM workflow_executions
    WHERE next_slot = slot AND wake_at BETWEEN %(since)s AND statement_timestamp()
  ) of_slot
)
SELECT NULL, 0, coalesce(min(wake_at), statement_timestamp()) FROM due
UNION ALL SELECT * FROM (
  SELECT id, row_number() OVER (
    PARTITION BY next_slot ORDER BY array_position(%(queues)s::text[], queue::text), wake_at, id), wake_at
  FROM due WHERE steps_running = 0
) positions WHERE id = ANY(%(ids)s)
"""


@dataclass(frozen=True, slots=True)
class SlotUse:
    """The slots of one kind, counted over all workers that are alive and claim steps."""

    busy: int
    total: int


def waiting_for(executions: Sequence[WorkflowExecution]) -> dict[UUID, str]:
    """Returns a sentence for each unfinished job that runs no step, or whose steps are held by lost workers.

    It costs eight queries at most.
    """
    unfinished = [execution for execution in executions if not execution.is_finished]
    # Claims and outcomes are changes: a job that has just changed is not silent, and needs no query.
    before = timezone.now() - silent_after()
    at_work = [each.pk for each in unfinished if each.steps_running and each.changed_at < before]
    waiting = [execution for execution in unfinished if not execution.steps_running]
    return (_lost(at_work) if at_work else {}) | (_waiting(waiting) if waiting else {})


def _waiting(waiting: Sequence[WorkflowExecution]) -> dict[UUID, str]:
    next_steps = _next_steps([execution.pk for execution in waiting])
    positions = _queue_positions.find([execution.pk for execution in waiting])
    pauses, workers = list(Pause.objects.all()), alive_workers()
    slots = slot_use(workers) if workers else no_worker()
    now = timezone.now()
    return {
        execution.pk: _delayed(next_steps.get(execution.pk), now)
        or _paused(pauses, execution)
        or _missing_tool(next_steps.get(execution.pk))
        or _missing_here(next_steps.get(execution.pk), workers)
        or _queued(execution, positions.get(execution.pk), slots)
        for execution in waiting
    }


def _lost(ids: list[UUID]) -> dict[UUID, str]:
    """A worker renews all its leases at once. If it has not done so for half a lease, it is silent, frozen or dead."""
    now = timezone.now()
    running = WorkflowStep.objects.filter(execution__in=ids, status=StepStatus.RUNNING).only(
        "execution_id", "name", "lease_until"
    )
    latest = running.order_by("execution_id", "-lease_until").distinct("execution_id")
    lost = [step for step in latest if step.lease_until and step.lease_until < now + _lease() - silent_after()]
    if not lost:
        return {}
    everything = Pause.objects.filter(kind=Pause.Kind.ALL)
    hint = _held_back(everything) or ("" if alive_workers() else no_worker())
    return {step.execution_id: f"{_silence_of(step, now)} {hint}".rstrip() for step in lost}


def _silence_of(step: WorkflowStep, now: datetime) -> str:
    assert step.lease_until is not None
    since = f'The worker of "{step.name}" has not responded since {wire_time(step.lease_until - _lease())}.'
    if step.lease_until < now:
        return f"{since} Its lease ended at {wire_time(step.lease_until)}: the step starts again on another worker."
    return f"{since} If it does not by {wire_time(step.lease_until)}, the step starts again on another worker."


def _lease() -> timedelta:
    return timedelta(seconds=settings.CONFIG.lease_seconds)


def silent_after() -> timedelta:
    """A worker that gave no sign of life for this long is not alive. A living one gives six within LEASE_SECONDS."""
    return max(_lease() / 2, LEAST_SILENCE)


def _next_steps(ids: list[UUID]) -> dict[UUID, WorkflowStep]:
    """Returns for each job the step that can be claimed first. Steps that wait for an outside answer come last."""
    steps = WorkflowStep.objects.filter(execution__in=ids, status__in=CLAIMABLE).defer("output", "arguments")
    ordered = steps.order_by("execution_id", F("ready_at").asc(nulls_last=True), "index")
    return {step.execution_id: step for step in ordered.distinct("execution_id")}


class QueuePositions:
    """Reads the queue from its first due execution on, and now and then from the beginning.

    An execution that becomes due later is due from the time at which it is stored, so it is behind that one. While a
    long transaction is open, the index keeps entries that were taken, and reading them again is slow: see
    `workflows.worker.capacity`.
    """

    def __init__(self) -> None:
        self.since = DISTANT_PAST
        self.scanned_at = float("-inf")

    def find(self, ids: list[UUID]) -> dict[UUID, int]:
        now = time.monotonic()
        if now - self.scanned_at > FULL_SCAN_EVERY:
            self.since, self.scanned_at = DISTANT_PAST, now
        (_, _, first), *positions = rows_of(
            POSITIONS, slots=list(get_args(Slot)), queues=Queue.values, since=self.since, ids=ids
        )
        self.since = first - timedelta(seconds=SCAN_OVERLAP)
        return {id: position for id, position, _ in positions}


_queue_positions = QueuePositions()


def _paused(pauses: Sequence[Pause], execution: WorkflowExecution) -> str:
    """A worker looks at the tool of the next step only, as `workflow_pick` does."""
    names = {
        Pause.Kind.ALL.value: "",
        Pause.Kind.TOOL.value: execution.next_tool,
        Pause.Kind.PROJECT.value: execution.project_id,
    }
    return _held_back([pause for pause in pauses if pause.name == names[pause.kind]])


def _held_back(pauses: Iterable[Pause]) -> str:
    for pause in pauses:
        reason = f": {pause.reason}" if pause.reason else ""
        return f"{pause.what} paused since {wire_time(pause.since)} by {pause.by}{reason}. {pause.how_to_end}."
    return ""


def no_worker() -> str:
    """Says why no worker takes steps, if `alive_workers` finds none."""
    are_drained = Worker.objects.filter(last_beat__gt=timezone.now() - silent_after(), is_drained=True).exists()
    return ALL_DRAINED if are_drained else NO_WORKER


def alive_workers() -> list[Worker]:
    """Returns the workers that are alive and claim steps."""
    return list(Worker.objects.filter(last_beat__gt=timezone.now() - silent_after(), draining=False, slots__gt=0))


def slot_use(workers: Sequence[Worker]) -> dict[str, SlotUse]:
    """Returns the slots by kind. Steps in a worker's reserve do not count as busy."""
    if not workers:
        return {}
    total: Counter[str] = Counter()
    for worker in workers:
        total.update(worker.sizes)
    running = WorkflowStep.objects.filter(status=StepStatus.RUNNING, worker__in=[worker.pk for worker in workers])
    kind = Case(When(crashes__lt=ALONE_AFTER, then="slot"), default=Value("alone"))
    busy = Counter(running.annotate(kind=kind).values_list("kind", flat=True))
    return {kind: SlotUse(min(busy[kind], number), number) for kind, number in total.items()}


def _delayed(step: WorkflowStep | None, now: datetime) -> str:
    """Returns an empty string if the step only needs a worker."""
    if step is None:
        return ""
    if step.ready_at is None:
        until = f", until {wire_time(step.answer_by)}" if step.answer_by else ""
        if step.approval is not None and "answer" not in step.approval:
            return f'"{step.name}" is waiting for a person to approve it{until}.'
        return f'"{step.name}" is waiting for an outside answer{until}.'
    if step.ready_at <= now:
        return ""
    at = wire_time(step.ready_at)
    if step.error is None:
        return f'"{step.name}" starts at {at}.'
    why = step.error.get("message") if isinstance(step.error, dict) else step.error
    return f'"{step.name}" is retried at {at}, after: {why}'


def _missing_tool(step: WorkflowStep | None) -> str:
    """No worker of this release claims a step whose tool is not installed."""
    if step is None or not step.tool or tools.get(step.tool) is not None:
        return ""
    return f'"{step.name}" needs the tool {step.tool}, which is not installed. Add its application to EXTRA_APPS.'


def _missing_here(step: WorkflowStep | None, workers: Sequence[Worker]) -> str:
    """The tool is installed, but no machine that has a worker can run it."""
    reasons = [worker.lacks[step.tool] for worker in workers if step is not None and step.tool in worker.lacks]
    if step is None or not reasons or len(reasons) < len(workers):
        return ""
    return f'No running worker can run "{step.name}". {reasons[0]}'


def _queued(execution: WorkflowExecution, position: int | None, slots: dict[str, SlotUse] | str) -> str:
    """`slots` says instead why no worker takes steps."""
    if isinstance(slots, str):
        return slots
    use = slots.get(execution.next_slot or "")
    busy = f" {use.busy} of {use.total} slots for such steps are busy." if use else ""
    if position is None:
        return f"A worker has seen the job and starts it next.{busy}"
    return f'Number {position} in the queue "{execution.queue}".{busy}'
