"""A job over documents as a table: a row for each file, those out of archives and mails among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet

from aiworkstation.access.lookup import Caller
from aiworkstation.web.live import Fragment
from aiworkstation.web.requests import Request
from documents.lookup import find_documents
from documents.models import Document
from jobs.displayed_job import document_id, error_of
from jobs.pages import rows
from jobs.pages.rows import JobRow
from workflows.models import CLAIMABLE, StepStatus, WorkflowExecution, WorkflowStep

FILES = 100
WARNINGS = 3
TOO_MANY_WARNINGS = "More warnings stand at the document."

STATES: dict[str, tuple[str, ...]] = {
    "failed": (StepStatus.FAILED,),
    "running": (StepStatus.RUNNING,),
    "waiting": (StepStatus.PENDING, *CLAIMABLE),
    "completed": (StepStatus.COMPLETED,),
    "cancelled": (StepStatus.CANCELLED, StepStatus.SKIPPED),
}
"""What a reader looks for, and the states of steps that it stands for; the failed ones first."""


@dataclass(frozen=True)
class FileRow:
    """`document` is its uid, empty once it is deleted; `container` the file that it came out of.

    The counts are those of this job, whatever a later one made of the document.
    """

    index: int
    name: str
    document: str
    container: str
    status: str
    progress: int
    message: str
    attempts: str
    next_attempt_at: datetime | None
    pages: int | None
    words: int | None
    chunks: int | None
    seconds: float | None
    error: tuple[str, str] | None
    warnings: tuple[str, ...]

    @property
    def fragment(self) -> Fragment:
        return Fragment(f"file-{self.index}", "jobs/_file.html", {"file": self}, self)


def file_rows(user: Caller, steps: Sequence[WorkflowStep]) -> list[FileRow]:
    """For the steps of a job that `user` may see."""
    ids = [document_id(step.arguments or {}) for step in steps]
    documents = find_documents(user, ids)
    return [_file_row(step, documents.get(id)) for step, id in zip(steps, ids, strict=True)]


def _file_row(step: WorkflowStep, document: Document | None) -> FileRow:
    counts = step.output if isinstance(step.output, dict) else {}
    return FileRow(
        index=step.index,
        name=step.name,
        document=str(document.uid) if document else "",
        container=document.parent.filename if document and document.parent else "",
        status=step.status,
        progress=step.progress,
        message=step.message if step.status in (StepStatus.RUNNING, StepStatus.WAITING) else "",
        attempts=rows.attempts(step),
        next_attempt_at=step.ready_at if step.status == StepStatus.WAITING else None,
        pages=counts.get("pages"),
        words=counts.get("words"),
        chunks=counts.get("chunks"),
        seconds=rows.seconds_between(step.started_at, step.finished_at),
        error=error_of(step),
        warnings=_warnings(document) if document and step.status == StepStatus.COMPLETED else (),
    )


def _warnings(document: Document) -> tuple[str, ...]:
    shown = tuple(document.warnings[:WARNINGS])
    return (*shown, TOO_MANY_WARNINGS) if len(document.warnings) > WARNINGS else shown


@dataclass(frozen=True)
class Tab:
    label: str
    count: int
    url: str
    is_chosen: bool


@dataclass(frozen=True)
class FilesPage:
    """The files of one state or of all, whose names hold `q`: FILES a page, in the job's order."""

    request: Request
    execution: WorkflowExecution
    state: str
    q: str
    number: str

    @classmethod
    def of(cls, request: Request, execution: WorkflowExecution) -> "FilesPage":
        state = request.GET.get("state", "")
        q = request.GET.get("q", "").strip().replace("\0", "")
        return cls(request, execution, state if state in STATES else "", q, request.GET.get("page", "1"))

    @cached_property
    def page(self) -> Page[WorkflowStep]:
        """The nearest one where the number is none."""
        return Paginator(self._steps, FILES).get_page(self.number)

    @property
    def _steps(self) -> QuerySet[WorkflowStep]:
        steps = WorkflowStep.objects.filter(execution=self.execution).order_by("index")
        if self.state:
            steps = steps.filter(status__in=STATES[self.state])
        return steps.filter(name__icontains=self.q) if self.q else steps

    @cached_property
    def rows(self) -> list[FileRow]:
        return file_rows(self.request.user, list(self.page))

    @property
    def tabs(self) -> list[Tab]:
        """All, and the states in which there are files."""
        counts = _counts(self.execution)
        found = [("", "all", self.execution.steps_total), *((name, name, counts[name]) for name in STATES)]
        return [
            Tab(label, count, self._url(state=name, q=""), name == self.state)
            for name, label, count in found
            if count or name in ("", self.state)
        ]

    @property
    def urls(self) -> dict[str, str]:
        """Of the first, previous, next and last page, where they are others than this."""
        page, last = self.page, self.page.paginator.num_pages
        numbers = {"first": 1, "previous": page.number - 1, "next": page.number + 1, "last": last}
        return {
            name: self._url(page=number)
            for name, number in numbers.items()
            if 1 <= number <= last and number != page.number
        }

    def _url(self, **changes: Any) -> str:
        chosen: dict[str, Any] = {"state": self.state, "q": self.q, "page": 1, **changes}
        told = {name: value for name, value in chosen.items() if value not in ("", 1)}
        return f"{self.request.path}?{urlencode(told)}#files"

    def fragments(self, job: JobRow) -> list[Fragment]:
        context = {"job": job, "files": self}
        tabs = [(tab.label, tab.count) for tab in self.tabs]
        listed = ([row.index for row in self.rows], self.page.number, self.page.paginator.count)
        return [
            Fragment("job-tabs", "jobs/_file_tabs.html", context, tabs),
            Fragment("job-files", "jobs/_files.html", context, listed),
            *(row.fragment for row in self.rows),
        ]


def _counts(execution: WorkflowExecution) -> dict[str, int]:
    finished = execution.steps_finished
    return {
        "failed": execution.steps_failed,
        "running": execution.steps_running,
        "waiting": execution.steps_total - finished - execution.steps_running,
        "completed": execution.steps_completed,
        "cancelled": finished - execution.steps_completed - execution.steps_failed,
    }
