"""Why a job is not running, in a sentence."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID

from django.db import connection
from django.db.models import Case, F, Value, When
from django.utils import timezone

from aiworkstation.web.serializers import wire_time
from workflows import tools
from workflows.engine.retry_policy import ALONE_AFTER
from workflows.engine.turn import SCAN_OVERLAP
from workflows.models import CLAIMABLE, Pause, StepStatus, Worker, WorkflowExecution, WorkflowStep
from workflows.tools import Slot

SILENT_AFTER = timedelta(seconds=30)
WHOLE_EVERY = 10.0
"""Seconds between looks at the whole queue."""
KINDS = list(get_args(Slot))
EVER = datetime(1, 1, 1, tzinfo=UTC)

# Since when the first message is due; then the places of the jobs none of whose steps runs, among those that need the
# same kind of slot, in the order in which they are served.
PLACES = """
WITH due AS MATERIALIZED (
  SELECT id, wake_at, next_slot, queue, steps_running FROM unnest(%(kinds)s::text[]) kind, LATERAL (
    SELECT * FROM workflow_executions
    WHERE next_slot = kind AND wake_at BETWEEN %(since)s AND statement_timestamp()
  ) of_kind
)
SELECT NULL, 0, coalesce(min(wake_at), statement_timestamp()) FROM due
UNION ALL SELECT * FROM (
  SELECT id, row_number() OVER (
    PARTITION BY next_slot ORDER BY array_position(ARRAY['high', 'normal', 'low'], queue::text), wake_at, id), wake_at
  FROM due WHERE steps_running = 0
) places WHERE id = ANY(%(ids)s)
"""


@dataclass(frozen=True, slots=True)
class Slots:
    """Of one kind, of the workers that are alive and take steps."""

    busy: int
    total: int


def waiting_for(executions: Sequence[WorkflowExecution]) -> dict[UUID, str]:
    """A sentence for each job of which no step runs and that is not finished. Five queries at the most."""
    waiting = [execution for execution in executions if not execution.is_finished and not execution.steps_running]
    if not waiting:
        return {}
    next_steps = _next_steps([execution.pk for execution in waiting])
    places = _places.of([execution.pk for execution in waiting])
    paused, slots = _paused(), _slots()
    now = timezone.now()
    return {
        execution.pk: _delayed(next_steps.get(execution.pk), now)
        or paused
        or _unknown(next_steps.get(execution.pk))
        or _queued(execution, places.get(execution.pk), slots)
        for execution in waiting
    }


def _next_steps(ids: list[UUID]) -> dict[UUID, WorkflowStep]:
    """Of each job the step that may be claimed first; one that waits for an answer goes last."""
    steps = WorkflowStep.objects.filter(execution__in=ids, status__in=CLAIMABLE).defer("output", "arguments")
    ordered = steps.order_by("execution_id", F("ready_at").asc(nulls_last=True), "index")
    return {step.execution_id: step for step in ordered.distinct("execution_id")}


class Places:
    """Reads the queue from the first message on that was due when it last looked: later ones are due from when they
    are stored. As in `workflows.worker.capacity`: what has been taken stays in the index while a long transaction is
    open.
    """

    def __init__(self) -> None:
        self.since = EVER
        self.whole = float("-inf")

    def of(self, ids: list[UUID]) -> dict[UUID, int]:
        now = time.monotonic()
        if now - self.whole > WHOLE_EVERY:
            self.since, self.whole = EVER, now
        with connection.cursor() as cursor:
            cursor.execute(PLACES, {"kinds": KINDS, "since": self.since, "ids": ids})
            (_, _, first), *places = cursor.fetchall()
        self.since = first - timedelta(seconds=SCAN_OVERLAP)
        return {id: place for id, place, _ in places}


_places = Places()


def _paused() -> str:
    pause = Pause.objects.first()
    if pause is None:
        return ""
    reason = f": {pause.reason}" if pause.reason else ""
    return f"All work is paused since {wire_time(pause.since)} by {pause.by}{reason}. End it with `manage.py resume`."


def _slots() -> dict[str, Slots] | None:
    """By kind; None where no worker is alive. What newcomers run beyond these slots is not counted."""
    alive = Worker.objects.filter(last_beat__gt=timezone.now() - SILENT_AFTER, draining=False, slots__gt=0)
    sizes = dict(alive.values_list("pk", "sizes"))
    if not sizes:
        return None
    total: Counter[str] = Counter()
    for each in sizes.values():
        total.update(each)
    running = WorkflowStep.objects.filter(status=StepStatus.RUNNING, worker__in=sizes)
    kind = Case(When(crashes__lt=ALONE_AFTER, then="slot"), default=Value("alone"))
    busy = Counter(running.annotate(kind=kind).values_list("kind", flat=True))
    return {kind: Slots(min(busy[kind], number), number) for kind, number in total.items()}


def _delayed(step: WorkflowStep | None, now: datetime) -> str:
    """Empty where nothing but a worker is missing."""
    if step is None:
        return ""
    if step.ready_at is None:
        until = f", until {wire_time(step.answer_by)}" if step.answer_by else ""
        return f'"{step.name}" waits for an answer from outside{until}.'
    if step.ready_at <= now:
        return ""
    at = wire_time(step.ready_at)
    if step.error is None:
        return f'"{step.name}" starts at {at}.'
    return f'"{step.name}" is tried again at {at}, after: {step.error["message"]}'


def _unknown(step: WorkflowStep | None) -> str:
    """No worker of this release takes a step whose tool none of its applications has."""
    if step is None or not step.tool or tools.get(step.tool) is not None:
        return ""
    return f'"{step.name}" needs the tool {step.tool}, which is not installed: add its application to EXTRA_APPS.'


def _queued(execution: WorkflowExecution, place: int | None, slots: dict[str, Slots] | None) -> str:
    if slots is None:
        return "No worker is running: start one with `manage.py work`."
    kind = slots.get(execution.next_slot or "")
    busy = f"; {kind.busy} of {kind.total} slots for such steps are busy" if kind else ""
    if place is None:
        return f"A worker has seen it and takes it up next{busy}."
    return f"Place {place} in the queue {execution.queue}{busy}."
