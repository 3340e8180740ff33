"""Everything the dashboard shows about a period: charts over time, and figures by type, model, mode, project and user.

The page, the template tag and `GET /api/metrics/dashboard` show the same figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Case, CharField, Count, F, Max, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.utils import timezone

from aiworkstation.access.lookup import Caller
from aiworkstation.web.serializers import wire_time
from jobs.job_metrics import (
    SLOT,
    TYPE,
    USAGE,
    Period,
    Tally,
    are_few,
    bucket_json,
    exact_percentiles,
    jobs_in_scope,
    queue,
    scope_of,
    tallies,
    workers,
)
from workflows.engine.rollups import read
from workflows.models import StepStatus, WorkflowStep

RANGES = {"1h": 1, "6h": 6, "24h": 24, "7d": 7 * 24, "30d": 30 * 24, "90d": 90 * 24}
"""The periods that can be chosen, in hours until now."""
DEFAULT_RANGE = "24h"
MOST = 20
"""How many rows a table by model, mode, project or user has: those that used the most tokens."""
FAILING_SINCE = timedelta(days=1)
PARTLY_FAILED = "completed_with_errors"


@dataclass(frozen=True, slots=True)
class FailingStep:
    """Steps with the same tool (empty for model steps), model and error that failed."""

    tool: str
    model: str
    code: str
    number: int
    last: datetime


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`slots` has a tally for the beginning of each bucket, in seconds since 1970. The others are by label."""

    period: Period
    slots: dict[int, Tally]
    total: Tally
    types: dict[str, Tally]
    models: dict[str, Tally]
    modes: dict[str, Tally]
    projects: dict[str, Tally]
    users: dict[str, Tally]
    failing: list[FailingStep]
    queue: dict[str, Any]
    workers: dict[str, int]

    @property
    def oldest_due(self) -> float:
        """For how many milliseconds the oldest due job has waited."""
        return float(1000 * self.queue["oldestDueSeconds"])

    @property
    def per_minute(self) -> float:
        """Jobs that ended, on average."""
        return self.total.ended / max((self.period.end - self.period.start).total_seconds() / 60, 1)


def last_hours(hours: int) -> Period:
    now = timezone.now()
    return Period(now - timedelta(hours=hours), now)


def dashboard(user: Caller, filters: Mapping[str, Any], period: Period) -> Dashboard:
    """`filters` are those of `job_metrics.scope_of`."""
    scope, rows = scope_of(user, filters), jobs_in_scope(user, filters)
    by_time = read(scope, *period.limits, period.seconds, ("slot", "job_type"))
    labels = read(scope, *period.limits, period.seconds, ("model", "mode", "project_id", "owner_id"), [USAGE])
    found, types = tallies(by_time["slot"]), tallies(by_time["job_type"])
    if are_few(found):
        _set_exact(found, exact_percentiles(rows, period, SLOT))
        _set_exact(types, exact_percentiles(rows, period, TYPE))
    total = Tally()
    for figure in by_time["job_type"]:
        total.add(figure)
    return Dashboard(
        period=period,
        slots={at: found.get(str(at), Tally()) for at in period.buckets()},
        total=total,
        types=dict(sorted(types.items())),
        models=_most(tallies(labels["model"])),
        modes=_most(tallies(labels["mode"])),
        projects=_most(tallies(labels["project_id"])),
        users=_with_names(_most(tallies(labels["owner_id"]))),
        failing=failing_steps(user, filters),
        queue=queue(rows),
        workers=workers(),
    )


def _set_exact(found: dict[str, Tally], exact: tuple[dict[str, Any], dict[str, Any]]) -> None:
    waits, durations = exact
    for value in waits.keys() | durations.keys():
        # A job may have started since the roll-ups were read.
        found.setdefault(value, Tally()).exact = waits.get(value), durations.get(value)


def _most(found: dict[str, Tally]) -> dict[str, Tally]:
    """The largest first."""
    ordered = sorted(found.items(), key=lambda item: (-sum(item[1].tokens), item[0]))
    return dict(ordered[:MOST])


def _with_names(found: dict[str, Tally]) -> dict[str, Tally]:
    names = dict(User.objects.filter(pk__in=[int(id) for id in found]).values_list("pk", "username"))
    return {names.get(int(id), f"deleted user {id}"): tally for id, tally in found.items()}


def failing_steps(user: Caller, filters: Mapping[str, Any]) -> list[FailingStep]:
    """The most frequent errors of the last day. A step that was retried since then is not in them."""
    since = timezone.now() - FAILING_SINCE
    failed = WorkflowStep.objects.filter(status=StepStatus.FAILED, finished_at__gte=since)
    of_jobs = failed.filter(execution__in=jobs_in_scope(user, filters).order_by())
    named = of_jobs.annotate(
        named_model=Case(When(tool="", then=F("model")), default=Value(""), output_field=CharField()),
        code=KeyTextTransform("code", "error"),
    )
    groups = named.order_by().values_list("tool", "named_model", "code")
    counted = groups.annotate(number=Count("pk"), last=Max("finished_at")).order_by("-number", "-last")[:MOST]
    return [FailingStep(tool, model, code or "", number, last) for tool, model, code, number, last in counted]


def dashboard_json(found: Dashboard) -> dict[str, Any]:
    """The answer of `GET /api/metrics/dashboard`."""
    return {
        "buckets": [_bucket(at, found.period.seconds, tally) for at, tally in found.slots.items()],
        "byType": [_type(name, tally) for name, tally in found.types.items()],
        **{
            name: [_usage(label, tally) for label, tally in labels.items()]
            for name, labels in (
                ("byModel", found.models),
                ("byMode", found.modes),
                ("byProject", found.projects),
                ("byUser", found.users),
            )
        },
        "failingSteps": [_failing(each) for each in found.failing],
        "queue": found.queue,
        "workers": found.workers,
    }


def _bucket(at: int, seconds: int, tally: Tally) -> dict[str, Any]:
    more = {"completedWithErrors": tally.counts[PARTLY_FAILED], "failureRate": tally.failure_rate}
    return bucket_json(at, seconds, tally) | more


def _type(name: str, tally: Tally) -> dict[str, Any]:
    counts = {"started": tally.counts["started"], "ended": tally.ended, "failureRate": tally.failure_rate}
    return {"name": name, **counts, **tally.times_json(), **_tokens(tally)}


def _usage(name: str, tally: Tally) -> dict[str, Any]:
    return {"name": name, **_tokens(tally)}


def _tokens(tally: Tally) -> dict[str, Any]:
    usage = tally.usage
    return {"inputTokens": usage.input_tokens, "outputTokens": usage.output_tokens, "costUsd": usage.cost}


def _failing(step: FailingStep) -> dict[str, Any]:
    at = wire_time(step.last)
    return {
        "tool": step.tool or None,
        "model": step.model or None,
        "code": step.code,
        "number": step.number,
        "lastAt": at,
    }
