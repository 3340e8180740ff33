"""What happened to jobs over time, in buckets, for `GET /api/metrics/jobs`.

Jobs that began or ended in the period are found by the time of their end (the index `execution_by_finish`) and among
the unfinished ones. So the cost depends on the period, not on all jobs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from aiworkstation.access.lookup import Caller, filter_by_labels, owned_by
from aiworkstation.web.serializers import wire_time
from jobs import model_usage
from jobs.model_usage import usage_of_sums
from workflows.engine.why_waiting import alive_workers, slot_use
from workflows.models import ExecutionQuerySet, WorkflowExecution, WorkflowStep

MAX_BUCKETS = 100
WIDTHS = (60, 300, 900, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600)
"""Seconds of a bucket: the smallest width that gives at most MAX_BUCKETS."""
MAX_PERIOD = timedelta(seconds=MAX_BUCKETS * WIDTHS[-1])
DEFAULT_PERIOD = timedelta(hours=24)

_COLUMNS = ("id", "status", "created_at", "started_at", "finished_at")
# All three read the same jobs. A job that ended before it started has waited until its end.
_ENDED = """
SELECT floor(extract(epoch FROM finished_at) / %s)::bigint * %s,
  count(*) FILTER (WHERE status IN ('completed', 'completed_with_errors')),
  count(*) FILTER (WHERE status = 'failed'),
  count(*) FILTER (WHERE status = 'cancelled'),
  percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at))
    FILTER (WHERE started_at <= finished_at)
FROM ({jobs}) jobs WHERE finished_at >= %s AND finished_at < %s GROUP BY 1
"""
_STARTED = """
SELECT floor(extract(epoch FROM started_at) / %s)::bigint * %s, count(*),
  percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - created_at))
FROM ({jobs}) jobs WHERE started_at >= %s AND started_at < %s GROUP BY 1
"""
_USAGE = f"""
SELECT floor(extract(epoch FROM jobs.finished_at) / %s)::bigint * %s, {model_usage.SUMS}
FROM ({{jobs}}) jobs JOIN workflow_steps s ON s.execution_id = jobs.id
WHERE jobs.finished_at >= %s AND jobs.finished_at < %s GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Period:
    """Whole buckets. `start` is in the first one, `end` in the last one or at its end."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> int:
        length = (self.end - self.start).total_seconds()
        return next((width for width in WIDTHS if length / width <= MAX_BUCKETS), WIDTHS[-1])

    def buckets(self) -> range:
        """The beginnings of the buckets, in seconds since 1970."""
        width = self.seconds
        first = int(self.start.timestamp()) // width * width
        return range(first, max(first + 1, math.ceil(self.end.timestamp())), width)


def job_metrics(user: Caller, filters: Mapping[str, Any], period: Period) -> dict[str, Any]:
    """`filters` has `owner`, `type`, `model`, `mode` and `project_id`, each optional."""
    rows = _in_scope(user, filters)
    return {"buckets": _buckets(rows, period), "queue": _queue(rows), "workers": _workers()}


def _in_scope(user: Caller, filters: Mapping[str, Any]) -> ExecutionQuerySet:
    rows: ExecutionQuerySet = owned_by(WorkflowExecution.objects.all(), user, filters.get("owner", ""))
    rows = filter_by_labels(rows, filters, type_field="job_type")
    if model := filters.get("model"):
        answered = WorkflowStep.objects.filter(execution=OuterRef("pk"), model=model)
        rows = rows.filter(Q(model_id=model) | Exists(answered))
    return rows


def _buckets(rows: ExecutionQuerySet, period: Period) -> list[dict[str, Any]]:
    starts = period.buckets()
    begin, end = (datetime.fromtimestamp(at, UTC) for at in (starts.start, starts[-1] + period.seconds))
    touched = rows.filter(Q(finished_at__gte=begin) | Q(pk__in=rows.unfinished().values("pk")))
    jobs = touched.filter(created_at__lt=end).order_by().values(*_COLUMNS)
    ended, started, usage = (_by_bucket(sql, jobs, period.seconds, begin, end) for sql in (_ENDED, _STARTED, _USAGE))
    return [
        {
            "at": wire_time(datetime.fromtimestamp(at, UTC)),
            "seconds": period.seconds,
            **_started(*started.get(at, (0, None))),
            **_ended(*ended.get(at, (0, 0, 0, None))),
            **_usage(*usage.get(at, (0, 0, None))),
        }
        for at in starts
    ]


def _by_bucket(statement: str, jobs: Any, width: int, begin: datetime, end: datetime) -> dict[int, tuple[Any, ...]]:
    sql, parameters = jobs.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(statement.replace("{jobs}", sql), [width, width, *parameters, begin, end])
        return {bucket: tuple(values) for bucket, *values in cursor.fetchall()}


def _started(number: int, seconds: list[float] | None) -> dict[str, Any]:
    p50, p95 = _milliseconds(seconds)
    return {"started": number, "waitP50Ms": p50, "waitP95Ms": p95}


def _ended(completed: int, failed: int, cancelled: int, seconds: list[float] | None) -> dict[str, Any]:
    p50, p95 = _milliseconds(seconds)
    counts = {"completed": completed, "failed": failed, "cancelled": cancelled}
    return {**counts, "durationP50Ms": p50, "durationP95Ms": p95}


def _usage(input_tokens: Any, output_tokens: Any, cost: Any) -> dict[str, Any]:
    usage = usage_of_sums(input_tokens, output_tokens, cost)
    return {"inputTokens": usage.input_tokens, "outputTokens": usage.output_tokens, "costUsd": usage.cost}


def _milliseconds(seconds: list[float] | None) -> tuple[int | None, int | None]:
    if seconds is None:
        return None, None
    p50, p95 = (max(0, round(float(each) * 1000)) for each in seconds)
    return p50, p95


def _queue(rows: ExecutionQuerySet) -> dict[str, Any]:
    now = timezone.now()
    due = rows.filter(wake_at__lte=now)
    oldest = due.order_by("wake_at").values_list("wake_at", flat=True).first()
    age = (now - oldest).total_seconds() if oldest else 0.0
    return {"depth": due.count(), "oldestDueSeconds": round(age, 3)}


def _workers() -> dict[str, int]:
    workers = alive_workers()
    slots = (slot_use(workers) or {}).values()
    return {
        "alive": len(workers),
        "slots": sum(use.total for use in slots),
        "busy": sum(use.busy for use in slots),
    }
