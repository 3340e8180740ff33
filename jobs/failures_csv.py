"""The failed steps of a job as CSV, for spreadsheets."""

import csv
import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.auth.models import User
from django.http import StreamingHttpResponse

from aiworkstation.web.serializers import wire_time
from documents.lookup import find_documents
from jobs.display import Step, describe_steps
from workflows.models import StepStatus, WorkflowExecution, WorkflowStep

BATCH = 500
BOM = "\ufeff"
COLUMNS = ("index", "name", "documentId", "container", "code", "message", "attempts", "finishedAt")

_UNSEEN = r"[\s\x00-\x1f\u200b-\u200f\u2060\ufeff]*"
_BEGIN = r"[=+\-@＝＋－＠]"
_FIRST = re.compile(rf"[\t\r\n]|{_UNSEEN}{_BEGIN}")
_LATER = re.compile(rf"([\t\r\n;|]{_UNSEEN})(?={_BEGIN})")
"""Where spreadsheets see the beginning of a formula (OWASP, "CSV Injection"): at the start of a cell, and after what a
program may take for the start of another one, each also after spaces and invisible characters.
"""


def failures(execution: WorkflowExecution, user: User) -> StreamingHttpResponse:
    """Returns a row for each failed step, in the job's order. `user` must be allowed to see the job.

    `container` is the name of the archive or mail in which a document came. The file is CSV as in RFC 4180, in UTF-8
    with a byte order mark: without it, Excel assumes another encoding.
    """
    response = StreamingHttpResponse(_lines(execution, user), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="failures-{execution.pk}.csv"'
    response.headers["Cache-Control"] = "private, no-cache"
    return response


class _Echo:
    """A file whose `write` returns the text, so that a csv.writer can be streamed."""

    def write(self, text: str) -> str:
        return text


def _lines(execution: WorkflowExecution, user: User) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield BOM + writer.writerow(COLUMNS)
    for batch in _batches(execution):
        yield "".join(writer.writerow(map(_cell, row)) for row in _csv_rows(batch, user))


def _batches(execution: WorkflowExecution) -> Iterator[list[Step]]:
    failed = WorkflowStep.objects.filter(execution=execution, status=StepStatus.FAILED).defer("output")
    last = -1
    while batch := list(failed.filter(index__gt=last).order_by("index")[:BATCH]):
        yield describe_steps(batch)
        last = batch[-1].index


def _csv_rows(steps: list[Step], user: User) -> Iterator[Iterable[Any]]:
    documents = find_documents(user, [step.document_id for step in steps])
    for step in steps:
        document = documents.get(step.document_id)
        error = step.error or {}
        yield (
            step.index,
            step.name,
            document.id_for(user) if document else "",
            document.parent.filename if document and document.parent else "",
            error.get("code", ""),
            error.get("message", ""),
            step.attempt,
            wire_time(step.finished_at) if step.finished_at else "",
        )


def _cell(value: Any) -> Any:
    """Returns numbers unchanged, and text in a form that no spreadsheet runs."""
    if not isinstance(value, str):
        return value
    start = _FIRST.match(value)
    if start is None:
        return _LATER.sub(r"\1'", value)
    rest = _LATER.sub(r"\1'", value[start.end() :])
    return f"'{start[0]}{rest}"
