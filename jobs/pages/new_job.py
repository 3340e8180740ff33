"""The forms that start jobs: a new workflow, pasted JSON, and documents to index."""

from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST
from drf_standardized_errors.formatter import flatten_errors
from rest_framework.exceptions import APIException, ValidationError

from aiworkstation.access.lookup import as_uuid
from aiworkstation.web.requests import Request
from documents.pages.upload_form import receive_files
from documents.storage.multipart import answers_allowance, screened
from jobs.idempotency import KEY, KeyReused
from jobs.pages.forms import (
    IngestForm,
    PasteForm,
    StepForm,
    WorkflowForm,
    WorkflowSteps,
    bulk_documents_body,
    error_lines,
    place_errors,
    workflow_body,
)
from jobs.pages.rendered_output import pretty_json
from jobs.saved_workflows import get_workflow_by_id
from jobs.start import start
from workflows import tools
from workflows.models import WorkflowExecution


@login_required
@require_http_methods(["GET", "POST"])
def new(request: Request) -> HttpResponse:
    """Starts a workflow from its form. The button `more` only adds a row to the form."""
    if request.method == "GET":
        return _edit_saved(request) or _new_job_page(
            request, WorkflowForm(user=request.user), WorkflowSteps(prefix="steps")
        )
    if "more" in request.POST:
        steps = WorkflowSteps(request.POST, prefix="steps").with_another_row()
        return _new_job_page(request, WorkflowForm(initial=request.POST.dict(), user=request.user), steps)
    form, steps = WorkflowForm(request.POST, user=request.user), WorkflowSteps(request.POST, prefix="steps")
    if form.is_valid() and steps.is_valid():
        body = workflow_body(form.payload() | {"steps": steps.payload()})
        try:
            return redirect("jobs:job", _start_once(request, body, form.cleaned_data["key"]).pk)
        except ValidationError as error:
            place_errors(error, form, steps)
    return _new_job_page(request, form, steps, status=HTTPStatus.BAD_REQUEST)


def _edit_saved(request: Request) -> HttpResponse | None:
    """Shows the page with a saved workflow, as JSON if the form lacks fields for it."""
    key = as_uuid(request.GET.get("workflow", ""))
    if key is None:
        return None
    payload = get_workflow_by_id(request.user, key).payload
    form, steps = WorkflowForm(user=request.user), WorkflowSteps(prefix="steps")
    if {*payload} - {*WorkflowForm.FIELD_OF_KEY, "steps"} or any(
        {*step} - {*StepForm.base_fields} for step in payload["steps"]
    ):
        pasted = PasteForm(initial={"body": pretty_json(workflow_body(payload))})
        return _new_job_page(request, form, steps, pasted)
    initial = {field: payload[name] for name, field in WorkflowForm.FIELD_OF_KEY.items() if name in payload}
    rows = [
        {**step, "arguments": pretty_json(step["arguments"])} if "arguments" in step else step
        for step in payload["steps"]
    ]
    return _new_job_page(
        request, WorkflowForm(initial=initial, user=request.user), WorkflowSteps(prefix="steps", initial=rows)
    )


def _start_once(request: Request, body: dict[str, Any], key: str) -> WorkflowExecution:
    try:
        return start(request.user, body, idempotency_key=key or None)[0]
    except KeyReused:
        # The form was changed after it had started a job, so this is no second click: start another job.
        return start(request.user, body)[0]


@login_required
@require_POST
def paste(request: Request) -> HttpResponse:
    """Starts any job from the body of an API call."""
    form = PasteForm(request.POST)
    if form.is_valid():
        try:
            body = form.job_body()
            key = "" if KEY in body else form.cleaned_data["key"]
            return redirect("jobs:job", _start_once(request, body, key).pk)
        except APIException as error:
            for line in error_lines(error):
                form.add_error("body", line)
    return _new_job_page(
        request, WorkflowForm(user=request.user), WorkflowSteps(prefix="steps"), form, status=HTTPStatus.BAD_REQUEST
    )


def _new_job_page(
    request: Request,
    form: WorkflowForm,
    steps: WorkflowSteps,
    pasted: PasteForm | None = None,
    *,
    status: HTTPStatus = HTTPStatus.OK,
) -> HttpResponse:
    context = {"form": form, "steps": steps, "paste": pasted or PasteForm(), "tools": tools.offered_tools()}
    return render(request, "jobs/new.html", context, status=status)


@login_required
@require_POST
def ingest(request: Request) -> HttpResponse:
    """Indexes the selected documents, also with another chunk size and overlap."""
    form = IngestForm(request.POST)
    if not form.is_valid():
        lines = [f"{form[name].label}: {line}" for name in form.errors for line in form[name].errors]
        return _show_errors(request, lines)
    documents = request.POST.getlist("document")
    if not documents:
        return _show_errors(request, ["Select a document first."])
    return _start_document_job(request, form.job_body(documents))


@screened
@login_required
@answers_allowance
@require_POST
def upload(request: Request) -> HttpResponse:
    """Stores files and starts a job that indexes them."""
    received = receive_files(request)
    if not received:
        return redirect("documents:list")
    first = received[0]  # all files have the labels of the form
    labels = {"projectId": first.project_id, "tags": first.tags, "mode": first.mode}
    documents = [{"id": document.client_id} for document in received]
    return _start_document_job(request, bulk_documents_body({"documents": documents, **labels}))


def _start_document_job(request: Request, body: dict[str, Any]) -> HttpResponse:
    try:
        execution, _ = start(request.user, body)
    except ValidationError as error:
        # Each error of a document names it, so that the place in the payload adds nothing.
        return _show_errors(request, [found.detail for found in flatten_errors(error.detail)])
    return redirect("jobs:job", execution.pk)


def _show_errors(request: Request, lines: list[str]) -> HttpResponse:
    for line in lines:
        messages.error(request, line)
    return redirect("documents:list")
