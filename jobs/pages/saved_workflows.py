"""The pages of saved workflows: the list, one workflow with its versions and schedules, and saving a job as one."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from drf_standardized_errors.formatter import flatten_errors
from rest_framework.exceptions import APIException, ValidationError

from aiworkstation.ids import uuid7
from aiworkstation.web.form_fields import Choice, Line, WholeNumber
from aiworkstation.web.paging import page
from aiworkstation.web.requests import Request
from jobs.display import describe_jobs
from jobs.large_json import LargeJson, read_up_to
from jobs.lookup import NEWEST_FIRST, get_execution
from jobs.models import Missed, Overlap, SavedWorkflow, WorkflowSchedule, WorkflowVersion
from jobs.pages.forms import JsonText, SaveForm, error_lines
from jobs.pages.rendered_output import pretty_json
from jobs.saved_workflows import (
    JOB_TYPE,
    MAX_PAYLOAD,
    ChangeRequest,
    SaveRequest,
    change_workflow,
    check_may_change,
    delete_workflow,
    get_workflow_by_id,
    run_workflow,
    save_workflow,
)
from jobs.schedules import (
    ScheduleRequest,
    change_schedule,
    create_schedule,
    delete_schedule,
    get_schedule,
    last_runs,
    run_now,
)
from workflows.models import WorkflowExecution

VERSIONS_SHOWN = 20
JOBS_SHOWN = 10
OVERLAPS = [
    (Overlap.SKIP, "Skip the new run"),
    (Overlap.QUEUE, "Run it afterwards"),
    (Overlap.ALLOW, "Run both at once"),
]
MISSES = [(Missed.SKIP, "Skip them"), (Missed.ONCE, "Run once")]


class EditForm(forms.Form):
    payload = JsonText(label="Workflow", widget=forms.Textarea({"rows": 16, "spellcheck": "false", "class": "code"}))


class ScheduleForm(forms.Form):
    """Its fields are named as in the API."""

    cron = Line(
        label="Times (cron)", required=False, max_length=100, help_text="Such as 0 9 * * mon-fri: on weekdays at 9:00."
    )
    everySeconds = WholeNumber(label="Or every (seconds)", required=False)
    timezone = Line(label="Time zone", initial="UTC", max_length=64, help_text="Such as Europe/Berlin.")
    overlap = Choice(label="While an earlier run is not finished", choices=OVERLAPS)
    missed = Choice(label="Times at which no worker was alive", choices=MISSES)

    def body(self, workflow: SavedWorkflow) -> dict[str, Any]:
        given = {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}
        return {"workflow": workflow.name, "workflowOwner": workflow.owner.get_username(), **given}


@login_required
@require_GET
def workflow_list(request: Request) -> HttpResponse:
    """Lists the user's own workflows, and those that others share."""
    rows = SavedWorkflow.objects.select_related("owner").defer("payload")
    rows = rows.of_or_for(request.user)
    try:
        found = page(rows, NEWEST_FIRST, cursor=request.GET.get("cursor", ""))
    except ValidationError:
        return redirect("jobs:workflows")
    context = {"workflows": found.rows, "older": found.next_cursor, "key": uuid7()}
    return render(request, "jobs/workflows.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def workflow(request: Request, id: UUID) -> HttpResponse:
    """One workflow. The buttons send their name as `action`."""
    found = get_workflow_by_id(request.user, id)
    if request.method == "GET":
        return _show(request, found)
    action = _ACTIONS.get(request.POST.get("action", ""))
    if action is None:
        messages.error(request, "The form arrived incomplete. Try again.")
        return redirect("jobs:workflow", id)
    return action(request, found)


def _run(request: Request, found: SavedWorkflow) -> HttpResponse:
    number = request.POST.get("version", "")
    asked = {"version": int(number)} if number.isdecimal() and len(number) < 10 else {}
    try:
        execution, _ = run_workflow(request.user, found, asked, idempotency_key=request.POST.get("key") or None)
    except APIException as error:
        return _back(request, found, error)
    return redirect("jobs:job", execution.pk)


def _change(request: Request, found: SavedWorkflow) -> HttpResponse:
    check_may_change(request.user, found)
    form = EditForm(request.POST)
    if form.is_valid():
        body = ChangeRequest(data={"payload": form.cleaned_data["payload"]}, context={"user": found.owner})
        if body.is_valid():
            changed = change_workflow(request.user, found, body.validated_data)
            messages.success(request, f"Saved as version {changed.version}.")
            return redirect("jobs:workflow", found.pk)
        for line in error_lines(ValidationError(body.errors)):
            form.add_error("payload", line)
    return _show(request, found, edit=form)


def _share(request: Request, found: SavedWorkflow) -> HttpResponse:
    check_may_change(request.user, found)
    change_workflow(request.user, found, {"is_shared": request.POST.get("shared") == "1"})
    return redirect("jobs:workflow", found.pk)


def _delete(request: Request, found: SavedWorkflow) -> HttpResponse:
    check_may_change(request.user, found)
    delete_workflow(request.user, found)
    messages.success(request, f"Deleted the workflow {found.name}. Its jobs stay.")
    return redirect("jobs:workflows")


def _schedule(request: Request, found: SavedWorkflow) -> HttpResponse:
    form = ScheduleForm(request.POST)
    if form.is_valid():
        body = ScheduleRequest(data=form.body(found), context={"user": request.user})
        if body.is_valid():
            create_schedule(request.user, found, body.validated_data)
            messages.success(request, "Created the schedule.")
            return redirect("jobs:workflow", found.pk)
        for error in flatten_errors(ValidationError(body.errors).detail):
            form.add_error(error.attr if error.attr in form.fields else None, error.detail)
    return _show(request, found, schedule=form)


_ACTIONS: Mapping[str, Callable[[Request, SavedWorkflow], HttpResponse]] = {
    "run": _run,
    "change": _change,
    "share": _share,
    "delete": _delete,
    "schedule": _schedule,
}


def _show(
    request: Request, found: SavedWorkflow, *, edit: EditForm | None = None, schedule: ScheduleForm | None = None
) -> HttpResponse:
    schedules = list(WorkflowSchedule.objects.visible_to(request.user).filter(workflow=found).select_related("owner"))
    runs = last_runs(schedules)
    jobs = WorkflowExecution.objects.visible_to(request.user).filter(workflow_id=found.pk)
    newest = jobs.select_related("owner").defer("payload").order_by("-created_at")[:JOBS_SHOWN]
    context = {
        "workflow": found,
        "may_change": found.may_be_changed_by(request.user),
        "steps": found.payload.get("steps", []),
        "versions": WorkflowVersion.objects.filter(workflow=found).defer("payload")[:VERSIONS_SHOWN],
        "schedules": [(each, runs[each.pk]) for each in schedules],
        "jobs": describe_jobs(list(newest), with_results=False),
        "edit": edit or EditForm(initial={"payload": pretty_json(found.payload)}),
        "schedule_form": schedule or ScheduleForm(),
        "key": uuid7(),
    }
    status = HTTPStatus.BAD_REQUEST if edit or schedule else HTTPStatus.OK
    return render(request, "jobs/workflow.html", context, status=status)


@login_required
@require_POST
def schedule(request: Request, id: UUID) -> HttpResponse:
    """Pauses, resumes, runs or deletes a schedule, as `action` says."""
    found = get_schedule(request.user, id)
    workflow = found.workflow
    action = request.POST.get("action", "")
    if action == "run":
        try:
            key = request.POST.get("key") or None
            return redirect("jobs:job", run_now(request.user, found, idempotency_key=key).pk)
        except APIException as error:
            return _back(request, workflow, error)
    if action in ("pause", "resume"):
        change_schedule(request.user, found, {"is_paused": action == "pause"})
    elif action == "delete":
        delete_schedule(request.user, found)
    else:
        messages.error(request, "The form arrived incomplete. Try again.")
    return redirect("jobs:workflow", workflow.pk)


@login_required
@require_http_methods(["GET", "POST"])
def save_job(request: Request, id: str) -> HttpResponse:
    """Saves the payload of a workflow's job under a name."""
    execution = get_execution(request.user, id)
    payload = read_up_to(MAX_PAYLOAD, WorkflowExecution, "payload", [execution.pk])[execution.pk]
    if execution.job_type != JOB_TYPE or isinstance(payload, LargeJson):
        messages.error(request, "Only workflows of at most 256 kB can be saved.")
        return redirect("jobs:job", execution.pk)
    form = SaveForm(
        request.POST if request.method == "POST" else None, initial={"name": slugify(execution.name)[:64].strip("-")}
    )
    if form.is_valid():
        body = SaveRequest(data={**form.cleaned_data, "payload": payload}, context={"user": request.user})
        try:
            body.is_valid(raise_exception=True)
            return redirect("jobs:workflow", save_workflow(request.user, body.validated_data).pk)
        except APIException as error:
            for found in flatten_errors(error.detail):
                form.add_error("name" if found.attr in ("name", None) else None, found.detail)
    context = {"job": execution, "form": form}
    return render(request, "jobs/save.html", context, status=HTTPStatus.BAD_REQUEST if form.is_bound else HTTPStatus.OK)


def _back(request: Request, found: SavedWorkflow, error: APIException) -> HttpResponse:
    for line in error_lines(error):
        messages.error(request, line)
    return redirect("jobs:workflow", found.pk)
