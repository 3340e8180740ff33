"""The failed steps of a job as CSV, for spreadsheets."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.auth.models import User
from django.http import StreamingHttpResponse

from aiworkstation.csv_cells import BOM, csv_line
from aiworkstation.web.serializers import wire_time
from documents.lookup import find_documents
from jobs.display import Step, describe_steps
from workflows.models import StepStatus, WorkflowExecution, WorkflowStep

BATCH = 500
COLUMNS = ("index", "name", "documentId", "container", "code", "message", "attempts", "finishedAt")


def failures(execution: WorkflowExecution, user: User) -> StreamingHttpResponse:
    """Returns a row for each failed step, in the job's order. `user` must be allowed to see the job.

    `container` is the name of the archive or mail in which a document came. The file is CSV as in RFC 4180, in UTF-8
    with a byte order mark: without it, Excel assumes another encoding.
    """
    response = StreamingHttpResponse(_lines(execution, user), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="failures-{execution.pk}.csv"'
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _lines(execution: WorkflowExecution, user: User) -> Iterator[str]:
    yield BOM + csv_line(COLUMNS)
    for batch in _batches(execution):
        yield "".join(map(csv_line, _csv_rows(batch, user)))


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
