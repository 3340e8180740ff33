"""A job's timeline: when each step ran and waited, from its audit events."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from aiworkstation.audit.models import AuditEvent
from aiworkstation.web.serializers import milliseconds
from aiworkstation.web.templatetags.times import duration
from jobs.display import STEP_OBJECT, Job, Step

WIDTH = 1000
THINNEST = 4
MAX_EVENTS = 5000
"""The newest events of a job that are read: a job with more shows only its later part."""
STEADY = 5.0
"""Seconds before the timeline of a running job is drawn again."""

# The span that begins with each event. Other events end a span and begin none.
_BEGINS = {
    "step.started": ("running", "running"),
    "step.retry_scheduled": ("waiting", "waits before the next attempt"),
    "step.waiting": ("waiting", "waits for a busy server"),
    "step.handed_over": ("waiting", "waits for an outside answer"),
    "step.approval_requested": ("waiting", "waits for an approval"),
    "step.returned": ("ready", "waits for a worker"),
    "step.crashed": ("ready", "waits for a worker, after a crash"),
    "step.lease_lost": ("ready", "waits for a worker, after its worker was lost"),
}
# How a running span looks after the event that ends it.
_ENDS = {
    "step.completed": "completed",
    "step.failed": "failed",
    "step.retry_scheduled": "failed",
    "step.crashed": "failed",
    "step.lease_lost": "failed",
    "step.cancelled": "cancelled",
}


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a bar. `look` is the class of its color; `x` and `width` are in thousandths of the whole."""

    look: str
    text: str
    x: int
    width: int


@dataclass(frozen=True, slots=True)
class Bar:
    step: Step
    spans: list[Span]

    @property
    def text(self) -> str:
        """The bar in words."""
        return f"{self.step.name}: " + "; ".join(span.text for span in self.spans)


@dataclass(frozen=True, slots=True)
class Timeline:
    start: datetime
    end: datetime
    bars: list[Bar]

    @property
    def length_ms(self) -> int | None:
        return milliseconds(self.start, self.end)


def timeline_age(job: Job) -> int:
    """A number that grows while the job runs, ever more slowly: whenever its time has grown by a tenth."""
    if job.started_at is None or job.is_finished:
        return 0
    seconds = (timezone.now() - job.started_at).total_seconds()
    return int(math.log(max(seconds / STEADY, 1), 1.1))


def timeline(job: Job, steps: Sequence[Step]) -> Timeline | None:
    """None for a job that has not started since its last retry."""
    if job.started_at is None:
        return None
    start, end = job.started_at, job.finished_at or timezone.now()
    end = max(end, start + timedelta(milliseconds=1))
    of_step = _events(job)
    bars = [Bar(step, _spans(of_step[f"{STEP_OBJECT}{step.id}"], start, end)) for step in steps]
    return Timeline(start, end, [bar for bar in bars if bar.spans])


def _events(job: Job) -> dict[str, list[AuditEvent]]:
    rows = AuditEvent.objects.filter(execution_id=job.id, action__in={*_BEGINS, *_ENDS})
    found: dict[str, list[AuditEvent]] = defaultdict(list)
    for event in reversed(rows.order_by("-pk")[:MAX_EVENTS]):
        found[event.object].append(event)
    return found


def _spans(events: Iterable[AuditEvent], start: datetime, end: datetime) -> list[Span]:
    """The spans since `start`. A span that is not over yet lasts until `end`."""
    spans: list[Span] = []
    began: AuditEvent | None = None
    for event in events:
        if began is not None:
            spans.append(_span(began, event.at, _ENDS.get(event.action), start, end))
        began = event if event.action in _BEGINS else None
    if began is not None:
        spans.append(_span(began, end, None, start, end))
    return [span for span in spans if span.width]


def _span(began: AuditEvent, until: datetime, outcome: str | None, start: datetime, end: datetime) -> Span:
    look, text = _BEGINS[began.action]
    if look == "running":
        look = outcome or look
        text = f"attempt {began.changes.get('attempt', 1)} {look} on {began.actor}"
    left, right = max(began.at, start), min(until, end)
    scale = WIDTH / (end - start).total_seconds()
    x = round((left - start).total_seconds() * scale)
    width = max(round((right - left).total_seconds() * scale), THINNEST) if until > start else 0
    return Span(look, f"{text}, {duration(milliseconds(began.at, until))}", min(x, WIDTH - THINNEST), width)
