"""Failures across jobs, in groups. Staff see everybody's."""

from dataclasses import dataclass, replace
from typing import ClassVar

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from aiworkstation.access.lookup import ALL
from aiworkstation.web.list_filter import ListFilter
from aiworkstation.web.requests import Request, posted_text
from jobs.failure_groups import NEWEST, FailureGroup, failure_groups, mute, unmute
from jobs.pages.job_filter import JobFilter

RANGES = {"24h": 24, "7d": 7 * 24, "30d": 30 * 24}
DEFAULT_RANGE = "7d"
MAX_NOTE = 300
SHOWN = 200


@dataclass(frozen=True)
class FailuresFilter(ListFilter):
    url_name: ClassVar[str] = "jobs:failures_page"

    range: str = ""

    @property
    def chosen_range(self) -> str:
        """An unknown one is the default: it may be from an old address."""
        return self.range if self.range in RANGES else DEFAULT_RANGE

    @property
    def ranges(self) -> list[tuple[str, str, bool]]:
        """The name, the address and whether it is chosen."""
        return [(name, replace(self, range=name).url(), name == self.chosen_range) for name in RANGES]

    def groups(self) -> list[FailureGroup]:
        return failure_groups(self.user, RANGES[self.chosen_range])


@dataclass(frozen=True)
class ShownGroup:
    group: FailureGroup
    jobs: JobFilter
    """Its jobs in the list of jobs."""


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def failures(request: Request) -> HttpResponse:
    filter = FailuresFilter.of(request)
    if request.method == "POST":
        _act(request, filter)
        return redirect(filter.url())
    shown = [ShownGroup(group, _jobs_of(request, group)) for group in filter.groups()]
    context = {
        "filter": filter,
        "groups": [each for each in shown if not each.group.is_muted][:SHOWN],
        "muted": [each for each in shown if each.group.is_muted][:SHOWN],
        "is_cut": sum(each.group.number for each in shown) == NEWEST,
        "newest": NEWEST,
    }
    return render(request, "jobs/failures.html", context)


def _jobs_of(request: Request, group: FailureGroup) -> JobFilter:
    owner = ALL if request.user.is_staff else ""
    return JobFilter(request.user, failed=group.failed, code=group.code, message=group.pattern, owner=owner)


def _act(request: Request, filter: FailuresFilter) -> None:
    key, action = posted_text(request, "key"), request.POST.get("action", "")
    if action == "unmute":
        if unmute(request.user, key):
            messages.success(request, "The failures are shown again.")
        return
    if action != "mute":
        messages.error(request, "There is no such action. Choose one of: mute, unmute.")
        return
    group = next((group for group in filter.groups() if group.key == key), None)
    if group is None:
        messages.error(request, "There are no such failures any more.")
        return
    mute(request.user, group, posted_text(request, "note", MAX_NOTE).strip())
    messages.success(request, "Muted until they fail twice as often. A new code or message is shown as a new group.")
