"""Starting jobs from a page: a workflow filled in or pasted, and documents to be read."""

from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST
from rest_framework.exceptions import APIException, ValidationError

from aiworkstation.web.errors import Conflict
from aiworkstation.web.requests import Request
from documents.pages.upload_form import receive_files
from documents.storage.multipart import screened
from jobs.pages.forms import IngestForm, PasteForm, WorkflowForm, WorkflowSteps, bulk, listed, place_errors, workflow
from jobs.start import start
from workflows import tools
from workflows.models import WorkflowExecution


@login_required
@require_http_methods(["GET", "POST"])
def new(request: Request) -> HttpResponse:
    """Start a workflow by filling in its steps. `more` adds a row and starts nothing."""
    if request.method == "GET":
        return _new(request, WorkflowForm(), WorkflowSteps(prefix="steps"))
    if "more" in request.POST:
        steps = WorkflowSteps(request.POST, prefix="steps").longer()
        return _new(request, WorkflowForm(initial=request.POST.dict()), steps)
    form, steps = WorkflowForm(request.POST), WorkflowSteps(request.POST, prefix="steps")
    if form.is_valid() and steps.is_valid():
        body = workflow(form.payload() | {"steps": steps.payload()})
        try:
            return redirect("jobs:job", _start_once(request, body, form.cleaned_data["key"]).pk)
        except ValidationError as error:
            place_errors(error, form, steps)
    return _new(request, form, steps, status=HTTPStatus.BAD_REQUEST)


def _start_once(request: Request, body: dict[str, Any], key: str) -> WorkflowExecution:
    try:
        return start(request.user, body, idempotency_key=key or None)[0]
    except Conflict:
        # The form came back changed after it had started a job: that is another job, and no second click.
        return start(request.user, body)[0]


@login_required
@require_POST
def paste(request: Request) -> HttpResponse:
    """Start any job by the body that an API call would have."""
    form = PasteForm(request.POST)
    if form.is_valid():
        try:
            execution, _ = start(request.user, form.request())
            return redirect("jobs:job", execution.pk)
        except APIException as error:
            for line in listed(error):
                form.add_error("body", line)
    return _new(request, WorkflowForm(), WorkflowSteps(prefix="steps"), form, status=HTTPStatus.BAD_REQUEST)


def _new(
    request: Request,
    form: WorkflowForm,
    steps: WorkflowSteps,
    pasted: PasteForm | None = None,
    *,
    status: HTTPStatus = HTTPStatus.OK,
) -> HttpResponse:
    context = {"form": form, "steps": steps, "paste": pasted or PasteForm(), "tools": tools.all_tools()}
    return render(request, "jobs/new.html", context, status=status)


@login_required
@require_POST
def ingest(request: Request) -> HttpResponse:
    """Start a bulk ingestion of the documents that were ticked, or a re-indexing with other chunks."""
    form = IngestForm(request.POST)
    if not form.is_valid():
        return _refuse(request, [f"{form[name].label}: {line}" for name in form.errors for line in form[name].errors])
    return _start_on_documents(request, form.request(request.POST.getlist("document")))


@screened
@login_required
@require_POST
def upload(request: Request) -> HttpResponse:
    """Store files and start their ingestion in one go."""
    received = receive_files(request)
    if not received:
        return redirect("documents:list")
    first = received[0]  # all bear the labels of the form
    labels = {"projectId": first.project_id, "tags": first.tags, "mode": first.mode}
    documents = [{"id": document.client_id} for document in received]
    return _start_on_documents(request, bulk({"documents": documents, **labels}))


def _start_on_documents(request: Request, body: dict[str, Any]) -> HttpResponse:
    try:
        execution, _ = start(request.user, body)
    except ValidationError as error:
        return _refuse(request, listed(error))
    return redirect("jobs:job", execution.pk)


def _refuse(request: Request, lines: list[str]) -> HttpResponse:
    for line in lines:
        messages.error(request, line)
    return redirect("documents:list")
