"""What failed in a job, as a table for spreadsheets."""

import csv
from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.auth.models import User
from django.http import StreamingHttpResponse

from aiworkstation.web.serializers import wire_time
from documents.lookup import find_documents
from jobs.displayed_job import document_id, error_of
from workflows.models import StepStatus, WorkflowExecution, WorkflowStep

BATCH = 500
BOM = "\ufeff"
COLUMNS = ("index", "name", "documentId", "container", "code", "message", "attempts", "finishedAt")

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What spreadsheets take for the beginning of a formula (OWASP, "CSV Injection")."""


def failures(execution: WorkflowExecution, user: User) -> StreamingHttpResponse:
    """A row for each failed step, in their order; the job is one that `user` may see.

    `container` is the name of the archive or mail that a document came out of. CSV as RFC 4180 has it, in UTF-8
    with a byte order mark, without which Excel takes it for another encoding.
    """
    response = StreamingHttpResponse(_lines(execution, user), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="failures-{execution.pk}.csv"'
    response.headers["Cache-Control"] = "private, no-cache"
    return response


class _Echo:
    """A file whose `write` gives back what is written."""

    def write(self, text: str) -> str:
        return text


def _lines(execution: WorkflowExecution, user: User) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield BOM + writer.writerow(COLUMNS)
    for batch in _batches(execution):
        yield "".join(writer.writerow(map(_cell, row)) for row in _rows(batch, user))


def _batches(execution: WorkflowExecution) -> Iterator[list[WorkflowStep]]:
    failed = WorkflowStep.objects.filter(execution=execution, status=StepStatus.FAILED).defer("output")
    last = -1
    while batch := list(failed.filter(index__gt=last).order_by("index")[:BATCH]):
        yield batch
        last = batch[-1].index


def _rows(steps: list[WorkflowStep], user: User) -> Iterator[Iterable[Any]]:
    ids = [document_id(step.arguments or {}) for step in steps]
    documents = find_documents(user, ids)
    for step, id in zip(steps, ids, strict=True):
        document = documents.get(id)
        code, message = error_of(step) or ("", "")
        yield (
            step.index,
            step.name,
            document.id_for(user) if document else "",
            document.parent.filename if document and document.parent else "",
            code,
            message,
            step.attempt,
            wire_time(step.finished_at) if step.finished_at else "",
        )


def _cell(value: Any) -> Any:
    """Numbers as they are; text so that no spreadsheet runs it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
