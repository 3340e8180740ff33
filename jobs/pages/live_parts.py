"""The parts of the job pages that follow what they show, and when they look the same."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.urls import reverse

from aiworkstation.web.live import Fragment, Live, page_url
from aiworkstation.web.requests import Request
from jobs.displayed_job import Job, describe
from jobs.lookup import list_executions
from jobs.pages import rows
from jobs.pages.files_table import FilesPage
from jobs.pages.output_view import shown
from jobs.pages.rows import JobRow, StepRow
from workflows.models import StepStatus, WorkflowExecution

COMPACT = 5


@dataclass(frozen=True)
class Compact:
    """The compact panel: unfinished jobs, and nothing where there are none."""

    jobs: list[JobRow]
    has_more: bool

    @property
    def context(self) -> dict[str, Any]:
        return {"jobs": self.jobs, "has_more": self.has_more}

    @property
    def live(self) -> Live:
        shape = ([job.id for job in self.jobs], self.has_more)
        fragments = [Fragment("jobs-panel", "jobs/_panel_list.html", self.context, shape)]
        fragments += [job_state(job, "panel") for job in self.jobs]
        return Live("jobs-panel-live", reverse("jobs:panel"), fragments, bool(self.jobs))


def compact(user: User) -> Compact:
    found = list_executions(user, {}).order_by("-created_at", "-id")[: COMPACT + 1]
    jobs = rows.job_rows(list(found))
    return Compact(jobs[:COMPACT], len(jobs) > COMPACT)


def job_state(job: JobRow, prefix: str) -> Fragment:
    shown = (
        *(job.status, job.percent, job.completed, job.failed, job.seconds),
        *(job.message, job.waiting_for, job.error),
    )
    context = {"job": job, "prefix": prefix}
    return Fragment(f"{prefix}-{job.id}-state", "jobs/_job_state.html", context, shown)


def job_actions(job: JobRow, prefix: str) -> Fragment:
    shown = (job.is_unfinished, job.is_retryable)
    context = {"job": job, "prefix": prefix}
    return Fragment(f"{prefix}-{job.id}-actions", "jobs/_job_actions.html", context, shown)


def step_fragments(job: JobRow, steps: Iterable[StepRow]) -> list[Fragment]:
    """Two for each step: its progress changes each second, and leaves open details beside it alone."""
    return [fragment for step in steps for fragment in (_step_state(job, step), _step_details(job, step))]


def _step_state(job: JobRow, step: StepRow) -> Fragment:
    shown = (step.status, step.attempts, step.progress, step.message, step.next_attempt_at, step.seconds)
    context = {"job": job, "step": step}
    return Fragment(f"step-{step.index}-state", "jobs/_step_state.html", context, shown)


def _step_details(job: JobRow, step: StepRow) -> Fragment:
    shown = (step.error, step.model, step.usage, step.arguments, step.has_output, step.attempt)
    context = {"job": job, "step": step}
    return Fragment(f"step-{step.index}-details", "jobs/_step_details.html", context, shown)


@dataclass(frozen=True)
class StepsPage:
    """Steps of one state or of all, STEPS a page."""

    rows: list[StepRow]
    total: int
    status: str
    first_url: str
    next_url: str

    @property
    def statuses(self) -> list[tuple[str, str]]:
        return [("", "All"), *StepStatus.choices]

    def fragments(self, job: JobRow) -> list[Fragment]:
        listed = ([step.index for step in self.rows], self.next_url)
        shown = Fragment("job-steps", "jobs/_steps.html", {"job": job, "steps": self}, listed)
        return [shown, *step_fragments(job, self.rows)]


def steps_page(request: Request, execution: WorkflowExecution) -> StepsPage:
    status = request.GET.get("state", "")
    status = status if status in StepStatus.values else ""
    after = request.GET.get("after", "")
    start = int(after) if after.isdecimal() and len(after) < 10 else -1
    found, has_more = rows.step_rows(execution, status=status, after=start)
    chosen = {"state": status} if status else {}
    return StepsPage(
        rows=found,
        total=execution.steps_total,
        status=status,
        first_url=_with(request, chosen) if start >= 0 else "",
        next_url=_with(request, chosen | {"after": str(found[-1].index)}) if has_more else "",
    )


def _with(request: Request, parameters: dict[str, str]) -> str:
    return f"{request.path}?{urlencode(parameters)}"


@dataclass(frozen=True)
class JobPage:
    """A job's page: what it shows, and what of it changes while the job runs."""

    url: str
    described: Job
    job: JobRow
    steps: StepsPage | FilesPage

    @property
    def context(self) -> dict[str, Any]:
        """What costs a query, or work, is called only where it is shown."""
        return {
            "job": self.job,
            "files" if self.job.lists_files else "steps": self.steps,
            "usage": self.usage,
            "result": lambda: None if self.described.output is None else shown(self.described.output),
            "events": lambda: rows.event_page(self.described.execution),
        }

    @property
    def usage(self) -> str:
        usage = self.described.usage
        return rows.usage_text(usage.input_tokens, usage.output_tokens, usage.cost_text)

    @property
    def live(self) -> Live:
        job, context = self.job, self.context
        facts = (job.started_at, job.finished_at, self.usage)
        # What writes an event changes its job, at once or soon after.
        changed = self.described.execution.changed_at
        parts = [
            job_state(job, "job"),
            job_actions(job, "job"),
            Fragment("job-facts", "jobs/_job_facts.html", context, facts),
            Fragment("job-result", "jobs/_job_result.html", context, job.finished_at),
            *self.steps.fragments(job),
            Fragment("job-events", "jobs/_events.html", context, changed),
        ]
        return Live("job-live", self.url, parts, job.is_unfinished)


def job_page(request: Request, execution: WorkflowExecution) -> JobPage:
    (described,) = describe([execution])
    row = rows.job_row(execution, described)
    steps = FilesPage.of(request, execution) if row.lists_files else steps_page(request, execution)
    return JobPage(page_url(request), described, row, steps)
