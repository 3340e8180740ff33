"""One action on many jobs of the list: the selected ones, or all that match its filters.

The first request shows what would happen, the second starts a job that does it.
"""

from dataclasses import dataclass

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST
from rest_framework.exceptions import APIException

from aiworkstation.ids import uuid7
from aiworkstation.web.requests import Request, posted_text
from jobs.bulk_actions import Selected, count_by_status, selected_jobs, start_bulk_action
from jobs.idempotency import MAX_KEY
from jobs.pages.forms import error_lines, start_once_from_form
from jobs.pages.job_filter import JobFilter
from workflows.models import FINISHED_EXECUTION, RETRYABLE_EXECUTION, ExecutionStatus, Queue

UNFINISHED_EXECUTION = tuple(status for status in ExecutionStatus if status not in FINISHED_EXECUTION)


@dataclass(frozen=True)
class PageAction:
    """`states` are those of the jobs that it changes; it leaves others alone. `effect` says what happens to them."""

    label: str
    states: tuple[ExecutionStatus, ...]
    effect: str
    body: dict[str, str]
    is_dangerous: bool = False


def _new_priority(queue: Queue) -> PageAction:
    body = {"action": "priority", "priority": queue.value}
    effect = f"moved to {queue.value} priority, which decides whose steps start first"
    return PageAction(f"Give {queue.value} priority to", UNFINISHED_EXECUTION, effect, body)


ACTIONS: dict[str, PageAction] = {
    "cancel": PageAction(
        "Cancel", UNFINISHED_EXECUTION, "cancelled; running steps stop", {"action": "cancel"}, is_dangerous=True
    ),
    "retry": PageAction(
        "Retry",
        RETRYABLE_EXECUTION,
        "retried: only steps that failed, were skipped or were cancelled run again",
        {"action": "retry"},
    ),
    "rerun": PageAction(
        "Run again", FINISHED_EXECUTION, "run again from the beginning, each as a new job", {"action": "rerun"}
    ),
    **{f"{queue.value}-priority": _new_priority(queue) for queue in Queue},
    "delete": PageAction(
        "Delete", FINISHED_EXECUTION, "deleted with their steps and outputs", {"action": "delete"}, is_dangerous=True
    ),
}


@dataclass(frozen=True)
class Plan:
    """What an action would do. `states` has the number of jobs in each state, and whether the action changes them."""

    action: str
    states: list[tuple[str, int, bool]]
    total: int

    @property
    def does(self) -> PageAction:
        return ACTIONS[self.action]

    @property
    def changes(self) -> int:
        return sum(count for _, count, is_changed in self.states if is_changed)


@login_required
@require_POST
def bulk(request: Request) -> HttpResponse:
    """`all` selects what matches the filters, which then come with the form. Otherwise, `job` is repeated."""
    action = request.POST.get("action", "")
    filter = JobFilter.of_form(request)
    if action not in ACTIONS:
        return _refuse(request, filter, f"There is no action {action}. Choose one of: {', '.join(ACTIONS)}.")
    is_all = "all" in request.POST
    ids = request.POST.getlist("job")
    if not is_all and not ids:
        return _refuse(request, filter, "Select a job first.")
    if is_all and (wrong := filter.mistake()):
        return _refuse(request, filter, wrong)
    try:
        jobs = selected_jobs(request.user, {"filter": filter.as_filters()} if is_all else {"job_ids": ids})
    except APIException as error:
        return _refuse(request, filter, *error_lines(error))
    plan = _plan(action, jobs)
    if "confirm" in request.POST and plan.changes:
        asked = {**ACTIONS[action].body, **({"filter": filter.chosen} if is_all else {"jobIds": ids})}
        started = start_once_from_form(
            request.user,
            posted_text(request, "key", MAX_KEY),
            asked,
            lambda: start_bulk_action(request.user, ACTIONS[action].body, jobs, asked).pk,
        )
        return redirect("jobs:job", started.pk)
    context = {"plan": plan, "filter": filter, "ids": [] if is_all else ids, "is_all": is_all, "key": uuid7()}
    return render(request, "jobs/bulk.html", context)


def _plan(action: str, jobs: Selected) -> Plan:
    changed = ACTIONS[action].states
    counts: dict[str, int] = count_by_status(jobs)["byStatus"]
    states = [(status.value, counts[status], status in changed) for status in ExecutionStatus if status in counts]
    return Plan(action, states, len(jobs))


def _refuse(request: Request, filter: JobFilter, *lines: str) -> HttpResponse:
    for line in lines:
        messages.error(request, line)
    return redirect(filter.url())
