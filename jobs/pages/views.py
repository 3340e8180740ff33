"""The pages of jobs."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import trigger_client_event
from rest_framework.exceptions import ValidationError

from aiworkstation.web.live import Fragment, Live, is_poll, page_url
from aiworkstation.web.paging import page
from aiworkstation.web.requests import Request
from jobs import types
from jobs.failures_csv import failures
from jobs.lookup import get_execution
from jobs.pages import live_parts, rows
from jobs.pages.filters import JobFilter
from jobs.pages.output_view import pretty, shown
from workflows import engine
from workflows.models import Pause, WorkflowExecution, WorkflowStep

EVENTS = 100
JOBS_CHANGED = "jobs-changed"


@login_required
@require_GET
def job_list(request: Request) -> HttpResponse:
    chosen = JobFilter.of(request)
    try:
        found = page(chosen.jobs(), ["-created_at", "-id"], cursor=request.GET.get("cursor", ""))
    except ValidationError:
        return redirect("jobs:list")
    jobs = rows.job_rows(found.rows)
    older = chosen.url(cursor=found.next_cursor) if found.next_cursor else ""
    context: dict[str, Any] = {"jobs": jobs, "filter": chosen, "older": older}
    parts = [Fragment("job-list", "jobs/_job_list.html", context, ([job.id for job in jobs], older))]
    for job in jobs:
        parts += [live_parts.job_state(job, "job"), live_parts.job_actions(job, "job")]
    live = Live("job-list-live", page_url(request), parts, any(job.is_unfinished for job in jobs))
    if is_poll(request):
        return live.answer(request)
    more = {"job_types": types.names(), "live": live, "pause": Pause.objects.first()}
    return render(request, "jobs/list.html", {**context, **more})


@login_required
@require_GET
def compact_panel(request: Request) -> HttpResponse:
    return live_parts.compact(request.user).live.answer(request)


@login_required
@require_GET
def job(request: Request, id: str) -> HttpResponse:
    found = live_parts.job_page(request, get_execution(request.user, id))
    if is_poll(request):
        return found.live.answer(request)
    payload = pretty(found.described.execution.payload)
    return render(request, "jobs/job.html", {**found.context, "payload": payload, "live": found.live})


@login_required
@require_GET
def step(request: Request, id: str, index: int) -> HttpResponse:
    execution = get_execution(request.user, id)
    found = get_object_or_404(WorkflowStep, execution=execution, index=index)
    return render(request, "jobs/step.html", {"job": execution, "step": found, "shown": shown(found.output)})


@login_required
@require_GET
def failures_csv(request: Request, id: str) -> StreamingHttpResponse:
    return failures(get_execution(request.user, id), request.user)


@login_required
@require_GET
def events(request: Request, id: str) -> HttpResponse:
    execution = get_execution(request.user, id)
    before = request.GET.get("before", "")
    start = int(before) if before.isdecimal() and len(before) < 19 else None
    found = rows.event_page(execution, before=start, limit=EVENTS)
    return render(request, "jobs/events.html", {"job": execution, "events": found})


@login_required
@require_POST
def cancel(request: Request, id: str) -> HttpResponse:
    execution = get_execution(request.user, id)
    if not engine.cancel(execution.pk, actor=request.user.get_username()):
        messages.warning(request, f"{execution.name} had ended before.")
    return _acted(request, execution)


@login_required
@require_POST
def retry(request: Request, id: str) -> HttpResponse:
    execution = get_execution(request.user, id)
    if not engine.retry(execution.pk, actor=request.user.get_username()):
        messages.warning(request, f"{execution.name} is not in a state from which it can be retried.")
    return _acted(request, execution)


def _acted(request: Request, execution: WorkflowExecution) -> HttpResponse:
    """The page's own polls show what became of the job: they are told to look now."""
    if not request.htmx:
        return redirect("jobs:job", execution.pk)
    response = render(request, "web/_messages.html", {"oob": True})
    return trigger_client_event(response, JOBS_CHANGED)
