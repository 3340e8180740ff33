"""The dashboard: what happened to jobs over time, and what it cost. Staff see everybody's jobs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET

from aiworkstation.access.lookup import ALL
from aiworkstation.web.list_filter import ListFilter
from aiworkstation.web.requests import Request
from aiworkstation.web.templatetags.times import moment
from jobs.dashboard import DEFAULT_RANGE, PARTLY_FAILED, RANGES, Dashboard, dashboard, last_hours
from jobs.job_metrics import Percentiles, Tally
from jobs.pages.formats import dollars, milliseconds, share, whole

Format = Callable[[Any], str]
CELL = '<td data-value="{}">{}</td>'
ROW = '<tr><th scope="row">{}</th>{}</tr>'


@dataclass(frozen=True)
class Series:
    """`color` is a variable of `app.css`, `value` is the number in a time slot; None is a gap."""

    label: str
    color: str
    value: Callable[[Tally], float | None]


@dataclass(frozen=True)
class Cell:
    """A number, empty if there is none, and how it is shown."""

    value: float | str
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart that is also a table. `static/js/charts.js` draws it from the table: `bars` stands them on each other."""

    name: str
    title: str
    unit: str
    bars: bool
    series: Sequence[Series]
    rows: list[tuple[SafeString, list[Cell]]]

    @property
    def is_empty(self) -> bool:
        return not any(cell.value for _, cells in self.rows for cell in cells)

    @property
    def body(self) -> SafeString:
        """The rows of the table. A template would need most of the page's time for its hundreds of cells."""
        rows = (
            (at, format_html_join("", CELL, ((cell.value, cell.text) for cell in cells))) for at, cells in self.rows
        )
        return format_html_join("", ROW, rows)


def _percentile(get: Callable[[Tally], Percentiles], place: int) -> Callable[[Tally], float | None]:
    return lambda tally: get(tally)[place]


def _count(measure: str) -> Callable[[Tally], float | None]:
    return lambda tally: tally.counts[measure]


JOBS = [
    Series("Completed", "--good", _count("completed")),
    Series("Completed with errors", "--warn", _count(PARTLY_FAILED)),
    Series("Failed", "--bad", _count("failed")),
    Series("Cancelled", "--muted", _count("cancelled")),
]
STARTED = [Series("Started", "--bar", _count("started")), Series("Ended", "--good", lambda tally: tally.ended)]
RATE = [Series("Failed, in whole or in part", "--bad", lambda tally: tally.failure_rate)]
WAIT = [
    Series("Median", "--bar", _percentile(lambda tally: tally.wait, 0)),
    Series("95th percentile", "--warn", _percentile(lambda tally: tally.wait, 1)),
]
DURATION = [
    Series("Median", "--bar", _percentile(lambda tally: tally.duration, 0)),
    Series("95th percentile", "--warn", _percentile(lambda tally: tally.duration, 1)),
]
TOKENS = [
    Series("Read by models", "--bar", lambda tally: tally.input_tokens),
    Series("Written by models", "--good", lambda tally: tally.output_tokens),
]
COST = [Series("US dollars", "--bar", lambda tally: float(tally.cost))]


@dataclass(frozen=True)
class DashboardFilter(ListFilter):
    """`range` is a key of RANGES. Staff see all users by default."""

    url_name: ClassVar[str] = "jobs:dashboard"

    range: str = ""
    owner: str = ""

    @property
    def chosen_range(self) -> str:
        """An unknown one is the default: it may be from an old address."""
        return self.range if self.range in RANGES else DEFAULT_RANGE

    @property
    def ranges(self) -> list[tuple[str, str, bool]]:
        """The name, the address and whether it is chosen."""
        return [(name, replace(self, range=name).url(), name == self.chosen_range) for name in RANGES]

    @property
    def filters(self) -> dict[str, str]:
        return {"owner": self.owner or (ALL if self.user.is_staff else "")}


def _cell(value: float | None, text: Format) -> Cell:
    return Cell("" if value is None else value, text(value))


def _charts(found: Dashboard) -> list[Chart]:
    times = [SafeString(moment(datetime.fromtimestamp(at, UTC))) for at in found.slots]

    def chart(name: str, title: str, unit: str, text: Format, series: Sequence[Series], *, bars: bool = False) -> Chart:
        rows = [
            (time, [_cell(each.value(tally), text) for each in series])
            for time, tally in zip(times, found.slots.values(), strict=True)
        ]
        return Chart(name, title, unit, bars, series, rows)

    return [
        chart("states", "Jobs by state", "jobs", whole, JOBS, bars=True),
        chart("throughput", "Throughput", "jobs", whole, STARTED),
        chart("failure-rate", "Failure rate", "share", share, RATE),
        chart("waiting", "Waiting time", "milliseconds", milliseconds, WAIT),
        chart("duration", "Duration", "milliseconds", milliseconds, DURATION),
        chart("tokens", "Model tokens", "tokens", whole, TOKENS, bars=True),
        chart("cost", "Cost", "dollars", dollars, COST, bars=True),
    ]


def dashboard_context(filter: DashboardFilter) -> dict[str, Any]:
    """For `jobs/_dashboard.html`."""
    found = dashboard(filter.user, filter.filters, last_hours(RANGES[filter.chosen_range]))
    usage = [
        ("model", found.models),
        ("mode", found.modes),
        ("project", found.projects),
        *([("user", found.users)] if filter.user.is_staff else []),
    ]
    return {"filter": filter, "found": found, "charts": _charts(found), "usage": usage}


@login_required
@require_GET
def dashboard_page(request: Request) -> HttpResponse:
    """A request of htmx gets the part that refreshes itself."""
    template = "jobs/_dashboard.html" if request.htmx else "jobs/dashboard.html"
    return render(request, template, dashboard_context(DashboardFilter.of(request)))
