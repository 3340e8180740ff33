"""The filters of the job list, in its address, and its tabs."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BooleanField, Case, Count, Q, QuerySet, When

from aiworkstation.access.lookup import ALL, owned_by
from aiworkstation.web.list_filter import ListFilter
from aiworkstation.web.requests import Request, posted_text
from jobs.bulk_actions import JOB_TYPE as BULK_ACTION
from jobs.failure_patterns import FAILURE_FILTERS
from jobs.job_input import BadInput, conditions
from jobs.job_type import job_type_names
from jobs.lookup import list_executions, matching
from workflows.models import FINISHED_EXECUTION, ExecutionStatus, WorkflowExecution

UNFINISHED = "unfinished"
COUNTED = 10_000
"""The newest jobs of the owner that the tabs count. If there are more, each count is at least what is shown."""

NEW_COUNTED = 99
"""New jobs that the list counts before it shows them. If there are more, the count is `99+`."""


@dataclass(frozen=True)
class Tab:
    """`count` is text: `12`, or `12+` if older jobs were not counted."""

    label: str
    url: str
    count: str
    is_chosen: bool


@dataclass(frozen=True)
class JobFilter(ListFilter):
    """`since` and `until` are days in UTC, both included."""

    url_name: ClassVar[str] = "jobs:list"

    status: str = ""
    type: str = ""
    mode: str = ""
    project: str = ""
    tag: str = ""
    input: str = ""
    q: str = ""
    since: str = ""
    until: str = ""
    owner: str = ""
    failed: str = ""
    code: str = ""
    message: str = ""

    @classmethod
    def of_form(cls, request: Request) -> "JobFilter":
        """The filters of a list from which a form was sent."""
        return cls(request.user, **{name: posted_text(request, name) for name in cls.names()})

    @property
    def is_set(self) -> bool:
        return any(value for name, value in self.chosen.items() if name != "owner")

    @property
    def failure(self) -> dict[str, str]:
        """What the failed steps of the jobs have in common, if it is limited to such jobs."""
        return {name: value for name in FAILURE_FILTERS if (value := getattr(self, name))}

    @property
    def has_more(self) -> bool:
        """Whether a filter is set that the page hides by default."""
        return bool(self.mode or self.project or self.tag or self.input or self.since or self.until)

    @property
    def statuses(self) -> list[tuple[str, str]]:
        return [(name, name.replace("_", " ") or "all") for name in ("", UNFINISHED, *ExecutionStatus.values)]

    @property
    def types(self) -> list[str]:
        """The types that can be started, and the chosen one."""
        return sorted({*job_type_names(), BULK_ACTION, *filter(None, [self.type])})

    def choices(self) -> dict[str, list[tuple[str, str]]]:
        return {"status": self.statuses}

    def mistake(self) -> str:
        """Returns a message if the address holds a status or a day that does not exist. Empty if all is well."""
        for name in ("since", "until"):
            if (text := getattr(self, name)) and _day(text) is None:
                return f"{text} is not a day. Enter one such as 2026-01-31."
        return self._bad_input() or self.unknown_choice()

    def _bad_input(self) -> str:
        try:
            conditions(self.input)
        except BadInput as error:
            return str(error)
        return ""

    def as_filters(self) -> dict[str, Any]:
        """Filters for `list_executions`, which takes no status as "unfinished"; here it means all."""
        since, until = _day(self.since), _day(self.until)
        return {
            "status": [] if self.status == UNFINISHED else [self.status or ALL],
            "type": self.type,
            "mode": self.mode,
            "project_id": self.project,
            "tag": self.tag,
            "q": self.q,
            "input": "" if self._bad_input() else self.input,
            "owner": self.owner,
            **self.failure,
            "since": since,
            # No day comes after the last one, so it is no limit.
            "before": until + timedelta(days=1) if until and until.date() < date.max else None,
        }

    def jobs_until(self, newest: datetime) -> QuerySet[WorkflowExecution]:
        """The jobs that are not newer. Each has `newer`, the ids of up to NEW_COUNTED + 1 jobs that are.

        One statement reads both. Its second part runs once, not for each row.
        """
        newer = self.jobs().filter(created_at__gt=newest).order_by().values("pk")[: NEW_COUNTED + 1]
        return self.jobs().filter(created_at__lte=newest).annotate(newer=ArraySubquery(newer))

    def jobs(self) -> QuerySet[WorkflowExecution]:
        return list_executions(self.user, self.as_filters())

    def tabs(self) -> list[Tab]:
        """One statement, which reads at most COUNTED jobs, however many there are."""
        counts = self._counts()
        is_capped = counts.pop("read") > COUNTED
        return [
            Tab(
                label=label,
                url=self._url_of(status),
                count=f"{min(counts[status], COUNTED):,}" + ("+" if is_capped else ""),
                is_chosen=status == self.status,
            )
            for status, label in self.statuses
            if status in ("", UNFINISHED, self.status) or counts[status]
        ]

    def _counts(self) -> dict[str, int]:
        """The number of jobs for each tab, and `read`, the number of jobs that were looked at."""
        # Each row is compared with the filters once, not once for each tab.
        is_wanted = Case(When(matching(self.as_filters()), then=True), default=False, output_field=BooleanField())
        rows = owned_by(WorkflowExecution.objects.all(), self.user, self.owner).annotate(is_wanted=is_wanted)
        newest = rows.order_by("-pk")[: COUNTED + 1]
        of_status = {status: Q(status=status) for status in ExecutionStatus.values}
        states = {"": Q(), UNFINISHED: ~Q(status__in=FINISHED_EXECUTION), **of_status}
        columns = {
            f"n{number}": Count("pk", filter=Q(is_wanted=True) & state) for number, state in enumerate(states.values())
        }
        found = newest.aggregate(read=Count("pk"), **columns)
        return {"read": found["read"], **{name: found[f"n{number}"] for number, name in enumerate(states)}}

    def _url_of(self, status: str) -> str:
        return replace(self, status=status).url()


def _day(text: str) -> datetime | None:
    try:
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    except ValueError:
        return None
