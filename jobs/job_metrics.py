"""What happened to jobs over time, in buckets, for `GET /api/metrics/jobs` and the dashboard.

The counts come from the roll-ups (`engine.rollups`), which are exact. So do the percentiles of many jobs, within 10 %.
Those of a few jobs are computed from the jobs themselves.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from aiworkstation.access.lookup import ALL, Caller, filter_by_labels, owned_by
from aiworkstation.access.models import sees_only
from aiworkstation.web.serializers import wire_time
from workflows.engine.rollups import Figure, Scope, percentile, read
from workflows.engine.why_waiting import alive_workers, slot_use
from workflows.model_usage import Usage
from workflows.models import ExecutionQuerySet, Rollup, WorkflowExecution, WorkflowStep

MAX_BUCKETS = 100
WIDTHS = (60, 300, 900, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600)
"""Seconds of a bucket: the smallest width that gives at most MAX_BUCKETS."""
MAX_PERIOD = timedelta(seconds=MAX_BUCKETS * WIDTHS[-1])
DEFAULT_PERIOD = timedelta(hours=24)
EXACT_UP_TO = 5_000
"""If more jobs started and ended in a period, its percentiles come from the roll-ups."""
NOBODY = -1

STARTED = Rollup.Measure.STARTED.value
USAGE = Rollup.Measure.USAGE.value
ENDED = tuple(measure.value for measure in Rollup.Measure if measure.value not in (STARTED, USAGE))

SLOT = "(floor(extract(epoch FROM at) / %s)::bigint * %s)::text"
TYPE = "job_type"
_COLUMNS = ("job_type", "created_at", "started_at", "finished_at")
_PERCENTILES = """
SELECT {{by}}, percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM length))
FROM (SELECT job_type, {at} AS at, {length} AS length FROM ({{jobs}}) jobs WHERE {at} >= %s AND {at} < %s) lengths
WHERE length IS NOT NULL GROUP BY 1
"""
_WAITS = _PERCENTILES.format(at="started_at", length="started_at - created_at")
# A job that ended before it began has no duration.
_DURATIONS = _PERCENTILES.format(
    at="finished_at", length="CASE WHEN started_at <= finished_at THEN finished_at - started_at END"
)

Percentiles = tuple[int | None, int | None]
"""The median and the 95th percentile in milliseconds; None without jobs."""
ByValue = dict[str, Percentiles]


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

    @property
    def limits(self) -> tuple[datetime, datetime]:
        """The beginning of the first bucket and the end of the last one."""
        starts = self.buckets()
        return datetime.fromtimestamp(starts.start, UTC), datetime.fromtimestamp(starts[-1] + self.seconds, UTC)


class Tally:
    """What happened in one time slot, or to the jobs with one label."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.waits: Counter[int] = Counter()
        self.durations: Counter[int] = Counter()
        self.input_tokens = self.output_tokens = 0
        self.cost = Decimal(0)
        self.unpriced = 0
        self.exact: tuple[Percentiles | None, Percentiles | None] = None, None
        """Waits and durations from the jobs themselves, if there are few."""

    def add(self, figure: Figure) -> None:
        self.counts[figure.measure] += figure.number
        if figure.measure == USAGE:
            self.input_tokens += figure.input_tokens
            self.output_tokens += figure.output_tokens
            self.cost += figure.cost
            self.unpriced += figure.unpriced
        elif figure.bucket >= 0:
            histogram = self.waits if figure.measure == STARTED else self.durations
            histogram[figure.bucket] += figure.number

    @property
    def ended(self) -> int:
        return sum(self.counts[measure] for measure in ENDED)

    @property
    def failure_rate(self) -> float | None:
        """The share of the ended jobs that failed, also in part. None if no job ended."""
        failed = self.counts["failed"] + self.counts["completed_with_errors"]
        return failed / self.ended if self.ended else None

    @property
    def tokens(self) -> tuple[int, int]:
        return self.input_tokens, self.output_tokens

    @property
    def all_tokens(self) -> int:
        return sum(self.tokens)

    @property
    def usage(self) -> Usage:
        """The cost is known only if every call has a price."""
        is_known = self.counts[USAGE] > 0 and self.unpriced == 0
        return Usage(self.input_tokens, self.output_tokens, money(self.cost) if is_known else None)

    @property
    def wait(self) -> Percentiles:
        return self.exact[0] or _percentiles(self.waits)

    @property
    def duration(self) -> Percentiles:
        return self.exact[1] or _percentiles(self.durations)

    def times_json(self) -> dict[str, int | None]:
        (wait50, wait95), (duration50, duration95) = self.wait, self.duration
        return {
            "waitP50Ms": wait50,
            "waitP95Ms": wait95,
            "durationP50Ms": duration50,
            "durationP95Ms": duration95,
        }


def tallies(figures: Sequence[Figure]) -> dict[str, Tally]:
    """Sums figures by their value: a label, or the beginning of a time slot as text."""
    found: dict[str, Tally] = {}
    for figure in figures:
        found.setdefault(figure.value, Tally()).add(figure)
    return found


def money(amount: Decimal) -> str:
    """Dollars without needless zeros, but with cents."""
    whole, _, rest = f"{amount:f}".partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(2, '0')}"


def _percentiles(histogram: Counter[int]) -> Percentiles:
    p50, p95 = (percentile(histogram, share) for share in (0.5, 0.95))
    return (None if p50 is None else round(p50)), (None if p95 is None else round(p95))


def scope_of(user: Caller, filters: Mapping[str, Any]) -> Scope:
    """`filters` has `owner`, `type`, `model`, `mode` and `project_id`, each optional. Nobody sees others' jobs."""
    return Scope(
        owner_id=_owner_id(user, filters.get("owner", "")),
        job_type=filters.get("type") or "",
        mode=filters.get("mode") or "",
        project_id=filters.get("project_id") or "",
        model=filters.get("model") or "",
        except_types=tuple(settings.UNLISTED_JOB_TYPES),
    )


def _owner_id(user: Caller, owner: str) -> int | None:
    own: int = user.pk or NOBODY
    is_limited = sees_only(user) is not None
    if not owner or (owner == ALL and is_limited):
        return own
    if owner == ALL:
        return None
    named: int = User.objects.filter(username=owner).values_list("pk", flat=True).first() or NOBODY
    return NOBODY if is_limited and named != own else named


def job_metrics(user: Caller, filters: Mapping[str, Any], period: Period) -> dict[str, Any]:
    """`filters` are those of `scope_of`."""
    rows = jobs_in_scope(user, filters)
    found = tallies(read(scope_of(user, filters), *period.limits, period.seconds, ("slot",))["slot"])
    waits, durations = exact_percentiles(rows, period, SLOT) if are_few(found) else ({}, {})
    buckets = []
    for at in period.buckets():
        tally = found.get(str(at), Tally())
        tally.exact = waits.get(str(at)), durations.get(str(at))
        buckets.append(bucket_json(at, period.seconds, tally))
    return {"buckets": buckets, "queue": queue(rows), "workers": workers()}


def are_few(found: Mapping[str, Tally]) -> bool:
    return sum(tally.counts[STARTED] + tally.ended for tally in found.values()) <= EXACT_UP_TO


def bucket_json(at: int, seconds: int, tally: Tally) -> dict[str, Any]:
    usage = tally.usage
    return {
        "at": wire_time(datetime.fromtimestamp(at, UTC)),
        "seconds": seconds,
        "started": tally.counts[STARTED],
        "completed": tally.counts["completed"] + tally.counts["completed_with_errors"],
        "failed": tally.counts["failed"],
        "cancelled": tally.counts["cancelled"],
        **tally.times_json(),
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "costUsd": usage.cost,
    }


def jobs_in_scope(user: Caller, filters: Mapping[str, Any]) -> ExecutionQuerySet:
    rows: ExecutionQuerySet = owned_by(WorkflowExecution.objects.all(), user, filters.get("owner", ""))
    rows = filter_by_labels(rows, filters, type_field="job_type")
    if not filters.get("type"):
        rows = rows.exclude(job_type__in=settings.UNLISTED_JOB_TYPES)
    if model := filters.get("model"):
        answered = WorkflowStep.objects.filter(execution=OuterRef("pk"), model=model)
        rows = rows.filter(Q(model_id=model) | Exists(answered))
    return rows


def exact_percentiles(rows: ExecutionQuerySet, period: Period, by: str) -> tuple[ByValue, ByValue]:
    """Waits and durations by SLOT or TYPE. Jobs are found by the time of their end, and among the unfinished ones."""
    begin, end = period.limits
    ended = rows.filter(finished_at__gte=begin, finished_at__lt=end)
    touched = rows.filter(Q(finished_at__gte=begin) | Q(pk__in=rows.unfinished().values("pk")), created_at__lt=end)
    return _percentiles_of(_WAITS, touched, period, by), _percentiles_of(_DURATIONS, ended, period, by)


def _percentiles_of(statement: str, rows: ExecutionQuerySet, period: Period, by: str) -> ByValue:
    sql, jobs = rows.order_by().values(*_COLUMNS).query.sql_with_params()
    width = [period.seconds, period.seconds] if by == SLOT else []
    with connection.cursor() as cursor:
        cursor.execute(statement.replace("{by}", by).replace("{jobs}", sql), [*width, *jobs, *period.limits])
        return {value: _milliseconds(seconds) for value, seconds in cursor.fetchall()}


def _milliseconds(seconds: Sequence[float]) -> Percentiles:
    p50, p95 = (max(0, round(float(each) * 1000)) for each in seconds)
    return p50, p95


def queue(rows: ExecutionQuerySet) -> dict[str, Any]:
    now = timezone.now()
    due = rows.filter(wake_at__lte=now)
    oldest = due.order_by("wake_at").values_list("wake_at", flat=True).first()
    age = (now - oldest).total_seconds() if oldest else 0.0
    return {"depth": due.count(), "oldestDueSeconds": round(age, 3)}


def workers() -> dict[str, int]:
    alive = alive_workers()
    use = slot_use(alive).values()
    return {
        "alive": len(alive),
        "slots": sum(each.total for each in use),
        "busy": sum(each.busy for each in use),
    }
