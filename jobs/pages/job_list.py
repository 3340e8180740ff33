"""The list of jobs, with its filters."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET
from rest_framework.exceptions import ValidationError

from aiworkstation.web.live_fragments import Fragment, LiveFragments, is_poll, page_url
from aiworkstation.web.paging import page
from aiworkstation.web.requests import Request
from documents.labels import mode_choices
from jobs.display import describe_jobs
from jobs.lookup import NEWEST_FIRST
from jobs.pages.fragments import job_actions, job_state
from jobs.pages.job_filter import JobFilter
from jobs.pages.saved_views import listed_views
from workflows.models import Pause


@login_required
@require_GET
def job_list(request: Request) -> HttpResponse:
    filter = JobFilter.of(request)
    if not is_poll(request) and (wrong := filter.mistake()):
        messages.error(request, wrong)
    try:
        found = page(filter.jobs(), NEWEST_FIRST, cursor=request.GET.get("cursor", ""))
    except ValidationError:
        return redirect("jobs:list")
    jobs = describe_jobs(found.rows, with_results=False)
    older = filter.url(cursor=found.next_cursor) if found.next_cursor else ""
    context: dict[str, Any] = {"jobs": jobs, "filter": filter, "older": older, "tabs": filter.tabs}
    fragments = [
        # The counts cost a statement: they are read again when a job on this page has changed its state.
        Fragment("job-tabs", "jobs/_job_tabs.html", context, [(job.id, job.status) for job in jobs]),
        Fragment("job-list", "jobs/_job_list.html", context, ([job.id for job in jobs], older)),
    ]
    for job in jobs:
        fragments += [job_state(job, "job"), job_actions(job, "job")]
    is_running = not all(job.is_finished for job in jobs)
    live = LiveFragments("job-list-live", page_url(request), fragments, is_running)
    if is_poll(request):
        return live.answer(request)
    more = {
        "modes": mode_choices(request.user),
        "live": live,
        "views": listed_views(request.user, filter),
        "pauses": Pause.objects.exclude(kind=Pause.Kind.PROJECT),
    }
    return render(request, "jobs/list.html", {**context, **more})
