"""The forms that start jobs over documents."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST
from drf_standardized_errors.formatter import flatten_errors
from rest_framework.exceptions import ValidationError

from aiworkstation.web.requests import Request
from documents.pages.upload_form import receive_files
from documents.storage.multipart import answers_allowance, screened
from jobs.pages.forms import IngestForm, bulk_documents_body
from jobs.start import start


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
