"""A job over documents as a table: a row for each file, including files out of archives and mails."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet

from aiworkstation.access.lookup import Caller
from aiworkstation.web.live_fragments import Fragment
from aiworkstation.web.requests import Request, query_text
from documents.lookup import find_documents
from documents.models import Document
from jobs.display import Job, Step, describe_steps
from workflows.models import CLAIMABLE, StepStatus, WorkflowStep

FILES_PER_PAGE = 100
MAX_WARNINGS = 3
MORE_WARNINGS = "The document's page has more warnings."

STATES: dict[str, tuple[str, ...]] = {
    "failed": (StepStatus.FAILED,),
    "running": (StepStatus.RUNNING,),
    "waiting": (StepStatus.PENDING, *CLAIMABLE),
    "completed": (StepStatus.COMPLETED,),
    "cancelled": (StepStatus.CANCELLED, StepStatus.SKIPPED),
}
"""The states that a reader can choose, each with its step statuses. Failed files come first."""


@dataclass(frozen=True)
class FileRow:
    """A file. `document` is its uid, empty once it is deleted; `container` is the archive or mail that it came in.

    The counts are the results of this job, even if a later job has indexed the document again.
    """

    step: Step
    document: str
    container: str
    warnings: tuple[str, ...]

    @property
    def pages(self) -> int | None:
        return self._count("pages")

    @property
    def words(self) -> int | None:
        return self._count("words")

    @property
    def chunks(self) -> int | None:
        return self._count("chunks")

    def _count(self, name: str) -> int | None:
        return self.step.output.get(name) if isinstance(self.step.output, dict) else None

    @property
    def fragment(self) -> Fragment:
        return Fragment(f"file-{self.step.index}", "jobs/_file.html", {"file": self}, self)


def file_rows(user: Caller, rows: Sequence[WorkflowStep]) -> list[FileRow]:
    """The steps belong to a job that `user` may see."""
    steps = describe_steps(rows)
    documents = find_documents(user, [step.document_id for step in steps])
    return [_file_row(step, documents.get(step.document_id)) for step in steps]


def _file_row(step: Step, document: Document | None) -> FileRow:
    if document is None:
        return FileRow(step, "", "", ())
    # Until the step completes, the document still has the warnings of an earlier reading.
    warnings = document.warnings if step.status == StepStatus.COMPLETED else []
    shown = tuple(warnings[:MAX_WARNINGS])
    return FileRow(
        step=step,
        document=str(document.uid),
        container=document.parent.filename if document.parent else "",
        warnings=(*shown, MORE_WARNINGS) if len(warnings) > MAX_WARNINGS else shown,
    )


@dataclass(frozen=True)
class Tab:
    label: str
    count: int
    url: str
    is_chosen: bool


@dataclass(frozen=True)
class FilesTable:
    """The files of one state or of all whose names contain `q`, in the job's order: FILES_PER_PAGE a page."""

    request: Request
    job: Job
    state: str
    q: str
    number: str

    @classmethod
    def of(cls, request: Request, job: Job) -> "FilesTable":
        state = request.GET.get("state", "")
        return cls(
            request, job, state if state in STATES else "", query_text(request, "q"), request.GET.get("page", "1")
        )

    @cached_property
    def page(self) -> Page[WorkflowStep]:
        """The first or last page if the number is out of range."""
        return Paginator(self._steps, FILES_PER_PAGE).get_page(self.number)

    @property
    def _steps(self) -> QuerySet[WorkflowStep]:
        steps = WorkflowStep.objects.filter(execution=self.job.id).order_by("index")
        if self.state:
            steps = steps.filter(status__in=STATES[self.state])
        return steps.filter(name__icontains=self.q) if self.q else steps

    @cached_property
    def rows(self) -> list[FileRow]:
        return file_rows(self.request.user, list(self.page))

    @property
    def tabs(self) -> list[Tab]:
        """One for all files, and one for each state that files are in."""
        progress = self.job.progress
        counts = {
            "": progress.total,
            "failed": progress.failed,
            "running": progress.running,
            "waiting": progress.total - progress.finished - progress.running,
            "completed": progress.completed,
            "cancelled": progress.finished - progress.completed - progress.failed,
        }
        return [
            Tab(state or "all", counts[state], self._url(state=state, q=""), state == self.state)
            for state in ("", *STATES)
            if counts[state] or state in ("", self.state)
        ]

    @property
    def urls(self) -> dict[str, str]:
        """Links to the first, previous, next and last page, without those that lead to this page."""
        page, last = self.page, self.page.paginator.num_pages
        numbers = {"first": 1, "previous": page.number - 1, "next": page.number + 1, "last": last}
        return {
            name: self._url(page=number)
            for name, number in numbers.items()
            if 1 <= number <= last and number != page.number
        }

    def _url(self, **changes: Any) -> str:
        parameters: dict[str, Any] = {"state": self.state, "q": self.q, "page": 1, **changes}
        chosen = {name: value for name, value in parameters.items() if value not in ("", 1)}
        return f"{self.request.path}?{urlencode(chosen)}#files"

    def fragments(self, job: Job) -> list[Fragment]:
        context = {"job": job, "files": self}
        tabs = [(tab.label, tab.count) for tab in self.tabs]
        listed = ([row.step.index for row in self.rows], self.page.number, self.page.paginator.count)
        return [
            Fragment("job-tabs", "jobs/_file_tabs.html", context, tabs),
            Fragment("job-files", "jobs/_files.html", context, listed),
            *(row.fragment for row in self.rows),
        ]
