"""Forms that start jobs. They build the body of an API call, which `jobs.start` validates."""

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib.auth.models import User
from drf_standardized_errors.formatter import flatten_errors
from rest_framework.exceptions import APIException

from aiworkstation import strict_json
from aiworkstation.ids import uuid7
from aiworkstation.web.form_fields import Line
from aiworkstation.web.parsers import loads_storable
from documents.pages.chunk_sizes import ChunkSizesForm
from jobs.idempotency import KEY, MAX_KEY, KeyReused, start_once
from jobs.start import start
from workflows.models import WorkflowExecution

Body = dict[str, Any]


class JsonText(Line):
    """A JSON object. Empty text is None."""

    widget = forms.Textarea

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            found = loads_storable(text) if text.strip() else None
        except strict_json.BadJson as error:
            raise forms.ValidationError(f"This is not valid JSON: {error}") from error
        if text.strip() and not isinstance(found, dict):
            raise forms.ValidationError('Enter a JSON object, such as {"name": "value"}.')
        return found


def form_key() -> Line:
    """The idempotency key of a form that starts a job: two clicks start one."""
    return Line(widget=forms.HiddenInput, required=False, max_length=MAX_KEY, initial=uuid7)


class PasteForm(forms.Form):
    """The body of an API call, or only a workflow's payload."""

    body = JsonText(
        label="JSON",
        widget=forms.Textarea({"rows": 16, "spellcheck": "false"}),
        error_messages={"required": "Paste the JSON of a job."},
    )
    key = form_key()

    def job_body(self) -> Body:
        body: Body = self.cleaned_data["body"]
        return body if "jobType" in body else workflow_body(body)


class SaveForm(forms.Form):
    """The name under which a workflow is saved."""

    name = Line(label="Name", max_length=64, help_text="1 to 64 of the characters a-z, 0-9 and -.")
    isShared = forms.BooleanField(label="Everybody may read and run it", required=False)


class IngestForm(ChunkSizesForm):
    """The chunk size and overlap for indexing."""

    def job_body(self, documents: Iterable[str]) -> Body:
        """`documents` are ids. Documents that are indexed already are indexed again."""
        payload: Body = {"documents": [{"id": id} for id in documents]}
        sizes = {"chunkSize": self.cleaned_data["chunk_size"], "overlap": self.cleaned_data["overlap"]}
        return bulk_documents_body(payload | sizes)


def bulk_documents_body(payload: Body) -> Body:
    return {"jobType": "bulk-documents", "payload": payload}


def workflow_body(payload: Body) -> Body:
    return {"jobType": "workflow", "payload": payload}


def start_once_from_form(user: User, key: str, request: Any, start: Callable[[], UUID]) -> WorkflowExecution:
    """Two clicks on the button of a form start one job. `key` is the form's, `request` what was entered.

    If the form was changed after it had started a job, this is no second click: another job starts.
    """
    try:
        return start_once(user, key, request, start)[0]
    except KeyReused:
        return start_once(user, "", request, start)[0]


def start_body_once(user: User, body: Body, key: str) -> WorkflowExecution:
    """The same for the body of an API call, which may have an idempotency key of its own."""
    if KEY in body or not key:
        return start(user, body)[0]
    try:
        return start(user, body, idempotency_key=key)[0]
    except KeyReused:
        return start(user, body)[0]


def error_lines(error: APIException) -> list[str]:
    """Returns the errors of a body as lines of text."""
    return [f"{found.attr}: {found.detail}" if found.attr else found.detail for found in flatten_errors(error.detail)]
