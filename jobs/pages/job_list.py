"""The list of jobs, with its filters."""

from dataclasses import dataclass
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET
from rest_framework.exceptions import ValidationError

from aiworkstation.access.lookup import ALL
from aiworkstation.web.list_filter import ListFilter
from aiworkstation.web.live_fragments import Fragment, LiveFragments, is_poll, page_url
from aiworkstation.web.paging import page
from aiworkstation.web.requests import Request
from jobs.display import describe_jobs
from jobs.job_type import job_type_names
from jobs.lookup import NEWEST_FIRST, list_executions
from jobs.pages.fragments import job_actions, job_state
from workflows.models import ExecutionStatus, Pause, WorkflowExecution

UNFINISHED = "unfinished"


@dataclass(frozen=True)
class JobFilter(ListFilter):
    url_name: ClassVar[str] = "jobs:list"

    status: str = ""
    type: str = ""
    q: str = ""
    owner: str = ""

    @property
    def is_set(self) -> bool:
        return bool(self.status or self.type or self.q)

    @property
    def statuses(self) -> list[tuple[str, str]]:
        return [("", "All"), (UNFINISHED, "Unfinished"), *ExecutionStatus.choices]

    def choices(self) -> dict[str, list[tuple[str, str]]]:
        return {"status": self.statuses}

    def jobs(self) -> QuerySet[WorkflowExecution]:
        """The user's own jobs in any status by default. `list_executions` takes no status as "unfinished"."""
        status = [] if self.status == UNFINISHED else [self.status or ALL]
        filters = {"status": status, "type": self.type, "q": self.q, "owner": self.owner}
        return list_executions(self.user, filters)


@login_required
@require_GET
def job_list(request: Request) -> HttpResponse:
    filter = JobFilter.of(request)
    if not is_poll(request) and (wrong := filter.unknown_choice()):
        messages.error(request, wrong)
    try:
        found = page(filter.jobs(), NEWEST_FIRST, cursor=request.GET.get("cursor", ""))
    except ValidationError:
        return redirect("jobs:list")
    jobs = describe_jobs(found.rows, with_results=False)
    older = filter.url(cursor=found.next_cursor) if found.next_cursor else ""
    context: dict[str, Any] = {"jobs": jobs, "filter": filter, "older": older}
    fragments = [Fragment("job-list", "jobs/_job_list.html", context, ([job.id for job in jobs], older))]
    for job in jobs:
        fragments += [job_state(job, "job"), job_actions(job, "job")]
    is_running = not all(job.is_finished for job in jobs)
    live = LiveFragments("job-list-live", page_url(request), fragments, is_running)
    if is_poll(request):
        return live.answer(request)
    more = {"job_types": job_type_names(), "live": live, "pause": Pause.objects.first()}
    return render(request, "jobs/list.html", {**context, **more})
