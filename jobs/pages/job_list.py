"""The list of jobs, with its filters."""

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET
from rest_framework.exceptions import ValidationError

from aiworkstation.web.live_fragments import Fragment, LiveFragments, is_poll, news, page_url
from aiworkstation.web.paging import Page, page
from aiworkstation.web.requests import Request
from documents.labels import mode_choices
from jobs.display import describe_jobs
from jobs.lookup import NEWEST_FIRST
from jobs.pages.bulk_page import ACTIONS
from jobs.pages.fragments import job_actions, job_state
from jobs.pages.job_filter import NEW_COUNTED, JobFilter
from jobs.pages.saved_views import listed_views
from workflows.models import Pause, WorkflowExecution

IDLE_SECONDS = 10
"""How often a list without unfinished jobs looks for new ones."""
NEWEST = "newest"


@login_required
@require_GET
def job_list(request: Request) -> HttpResponse:
    """Lists jobs. A poll adds none on top, so that no row moves under the pointer: it counts the new ones."""
    filter = JobFilter.of(request)
    if not is_poll(request) and (wrong := filter.mistake()):
        messages.error(request, wrong)
    newest = _shown_newest(request)
    try:
        found = page(
            filter.jobs() if newest is None else filter.jobs_until(newest),
            NEWEST_FIRST,
            cursor=request.GET.get("cursor", ""),
        )
    except ValidationError:
        return redirect("jobs:list")
    live = _live(request, filter, found, newest)
    if is_poll(request):
        return live.answer(request)
    more = {
        "actions": ACTIONS,
        "modes": mode_choices(request.user),
        "live": live,
        "views": listed_views(request.user, filter),
        "pauses": Pause.objects.exclude(kind=Pause.Kind.PROJECT),
    }
    return render(request, "jobs/list.html", {**live.fragments[0].context, **more})


def _shown_newest(request: Request) -> datetime | None:
    """When the newest job was created that the page shows. Only polls of its first page have this time."""
    if not is_poll(request) or "cursor" in request.GET:
        return None
    try:
        return parse_datetime(request.GET.get(NEWEST, ""))
    except ValueError:
        return None


def _live(
    request: Request, filter: JobFilter, found: Page[WorkflowExecution], newest: datetime | None
) -> LiveFragments:
    jobs = describe_jobs(found.rows, with_results=False)
    older = filter.url(cursor=found.next_cursor) if found.next_cursor else ""
    new_jobs = _new_jobs(found.rows) if newest else ""
    context: dict[str, Any] = {
        "jobs": jobs,
        "filter": filter,
        "older": older,
        "tabs": filter.tabs,
        "new_jobs": new_jobs,
    }
    fragments = [
        # The counts cost a statement: they are read again when a job on this page has changed its state.
        Fragment("job-tabs", "jobs/_job_tabs.html", context, ([(job.id, job.status) for job in jobs], new_jobs)),
        Fragment("new-jobs", "jobs/_new_jobs.html", context, new_jobs),
        news("new-jobs-news", "There are new jobs." if new_jobs else ""),
        Fragment("job-list", "jobs/_job_list.html", context, ([job.id for job in jobs], older)),
    ]
    for job in jobs:
        fragments += [job_state(job, "job"), job_actions(job, "job")]
    is_running = not all(job.is_finished for job in jobs)
    shown = newest or (found.rows[0].created_at if found.rows and "cursor" not in request.GET else None)
    url = page_url(request, **{NEWEST: shown.isoformat() if shown else ""})
    return LiveFragments("job-list-live", url, fragments, is_running, IDLE_SECONDS)


def _new_jobs(rows: list[WorkflowExecution]) -> str:
    """Such as `3 new jobs`, empty if there are none. An empty list shows them at once instead."""
    count = len(rows[0].newer) if rows else 0  # type: ignore[attr-defined]  # annotated
    if count > NEW_COUNTED:
        return f"{NEW_COUNTED}+ new jobs"
    return f"{count} new job{'' if count == 1 else 's'}" if count else ""
