"""A job's page, and the pages below it: a step's output, the audit trail, the failures as CSV."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from aiworkstation.audit.models import AuditEvent
from aiworkstation.ids import uuid7
from aiworkstation.web.live_fragments import Fragment, LiveFragments, is_poll, news, page_url
from aiworkstation.web.requests import Request, query_number
from jobs.attempts import attempts_of
from jobs.display import HAS_OUTPUT, STEPS_SHOWN, Event, Job, Step, describe_events, describe_jobs, describe_steps
from jobs.failures_csv import failures
from jobs.job_type import find_job_type
from jobs.large_json import read_up_to
from jobs.lookup import get_execution
from jobs.pages.curl import curl_command
from jobs.pages.files_table import FilesTable
from jobs.pages.fragments import job_actions, job_state
from jobs.pages.rendered_output import RenderedOutput, render_json, render_output
from jobs.pages.step_graph import StepGraph, step_graph
from jobs.pages.timeline import Timeline, timeline, timeline_age
from jobs.rerun import reused_text
from workflows.models import StepStatus, WorkflowExecution, WorkflowStep

EVENTS_ON_JOB_PAGE = 20
EVENTS_PER_PAGE = 100
MAX_OUTPUT = 2_000_000
"""Bytes of an output that a page reads in order to render its beginning. Of larger ones it shows the JSON."""
MAX_ARGUMENTS = 4_000
MAX_PAYLOAD = 100_000


@dataclass(frozen=True)
class StepList:
    """Up to STEPS_SHOWN steps, of one status or of all. Outputs stay in the database."""

    steps: list[Step]
    total: int
    status: str
    first_url: str
    next_url: str
    graph: StepGraph | None

    @property
    def statuses(self) -> list[tuple[str, str]]:
        return [("", "All"), *StepStatus.choices]

    def fragments(self, job: Job) -> list[Fragment]:
        """Two for each step: its state changes every second, and its details, which may be open, stay as they are."""
        version = ([step.index for step in self.steps], self.next_url)
        fragments = [Fragment("job-steps", "jobs/_steps.html", {"job": job, "steps": self}, version)]
        statuses = [step.status for step in self.steps] if self.graph else []
        fragments.append(Fragment("job-graph", "jobs/_step_graph.html", {"graph": self.graph}, statuses))
        for step in self.steps:
            fragments += [_step_state(job, step), _step_details(job, step)]
        return fragments


def step_list(request: Request, execution: WorkflowExecution) -> StepList:
    status = request.GET.get("state", "")
    status = status if status in StepStatus.values else ""
    after = query_number(request, "after", digits=9)
    rows = WorkflowStep.objects.filter(execution=execution, index__gt=-1 if after is None else after)
    if status:
        rows = rows.filter(status=status)
    rows = rows.defer("output", "arguments").annotate(has_output=HAS_OUTPUT)
    found = list(rows.order_by("index")[: STEPS_SHOWN + 1])
    steps = describe_steps(found[:STEPS_SHOWN], max_arguments=MAX_ARGUMENTS)
    chosen = {"state": status} if status else {}
    next_page = chosen | {"after": str(steps[-1].index)} if len(found) > STEPS_SHOWN else None
    return StepList(
        steps=steps,
        total=execution.steps_total,
        status=status,
        first_url="" if after is None else f"{request.path}?{urlencode(chosen)}",
        next_url="" if next_page is None else f"{request.path}?{urlencode(next_page)}",
        graph=step_graph(steps, found) if len(found) == execution.steps_total else None,
    )


def _read_payload(execution: WorkflowExecution) -> Any:
    return read_up_to(MAX_PAYLOAD, WorkflowExecution, "payload", [execution.pk])[execution.pk]


def _step_state(job: Job, step: Step) -> Fragment:
    version = (
        step.status,
        step.attempts_text,
        step.progress,
        step.live_message,
        step.next_attempt_at,
        step.duration_ms,
        job.is_finished,
    )
    context = {"job": job, "step": step, "can_rerun": can_rerun(job)}
    return Fragment(f"step-{step.index}-state", "jobs/_step_state.html", context, version)


def _step_details(job: Job, step: Step) -> Fragment:
    # `attempt`: a new attempt may have another output.
    version = (
        step.error,
        step.status == StepStatus.FAILED,
        step.model,
        step.usage_text,
        step.arguments,
        step.has_output,
        step.attempt,
        step.approval,
    )
    context = {"job": job, "step": step}
    return Fragment(f"step-{step.index}-details", "jobs/_step_details.html", context, version)


@dataclass(frozen=True)
class EventList:
    """Newest first. `earlier` is the id before which the next page begins."""

    events: list[Event]
    earlier: int | None


def event_list(execution: WorkflowExecution, *, limit: int, before: int | None = None) -> EventList:
    rows = AuditEvent.objects.filter(execution_id=execution.pk)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows.order_by("-pk")[: limit + 1])
    earlier = found[limit - 1].pk if len(found) > limit else None
    return EventList(describe_events(found[:limit], with_names=True), earlier)


@dataclass(frozen=True)
class JobPage:
    """What a job's page shows, and which parts of it change while the job runs."""

    url: str
    execution: WorkflowExecution
    job: Job
    steps: StepList | FilesTable

    @property
    def context(self) -> dict[str, Any]:
        """The values that cost a query or much work are functions: a poll that does not show them saves them.

        Templates call a function at each mention, so each of these has its value only once.
        """
        return {
            "job": self.job,
            "files" if self.job.lists_files else "steps": self.steps,
            "result": lambda: self._result,
            "events": lambda: self._events,
            "news": self._news,
            "reused": reused_text(self.job.reused) if self.job.reused else "",
            "can_rerun": can_rerun(self.job),
            "key": uuid7(),
            "graph": self.steps.graph if isinstance(self.steps, StepList) else None,
            "timeline": lambda: self._timeline,
        }

    @property
    def _news(self) -> str:
        return f"{self.job.name}: {self.job.status.replace('_', ' ')}"

    @cached_property
    def _result(self) -> RenderedOutput | None:
        return None if self.job.output is None else render_output(self.job.output)

    @cached_property
    def _events(self) -> EventList:
        return event_list(self.execution, limit=EVENTS_ON_JOB_PAGE)

    @cached_property
    def _timeline(self) -> Timeline | None:
        return timeline(self.job, self.steps.steps) if isinstance(self.steps, StepList) else None

    @property
    def live(self) -> LiveFragments:
        job, context = self.job, self.context
        fragments = [
            news("job-news", self._news),
            job_state(job, "job"),
            job_actions(job, "job"),
            Fragment("job-again", "jobs/_job_again.html", context, job.is_finished),
            Fragment("job-facts", "jobs/_job_facts.html", context, (job.started_at, job.finished_at, job.usage)),
            Fragment("job-result", "jobs/_job_result.html", context, job.finished_at),
            *self.steps.fragments(job),
            *([] if job.lists_files else [self._timeline_fragment]),
            # Every event comes with a change of its job, at once or soon after.
            Fragment("job-events", "jobs/_events.html", context, job.changed_at),
        ]
        return LiveFragments("job-live", self.url, fragments, not job.is_finished)

    @property
    def _timeline_fragment(self) -> Fragment:
        version = (self.job.changed_at, timeline_age(self.job))
        return Fragment("job-timeline", "jobs/_timeline.html", {"timeline": lambda: self._timeline}, version)


def can_rerun(job: Job) -> bool:
    return find_job_type(job.job_type) is not None


@login_required
@require_GET
def job(request: Request, id: str) -> HttpResponse:
    execution = get_execution(request.user, id)
    (found,) = describe_jobs([execution], max_output=MAX_OUTPUT)
    steps = FilesTable.of(request, found) if found.lists_files else step_list(request, execution)
    page = JobPage(page_url(request), execution, found, steps)
    if is_poll(request):
        return page.live.answer(request)
    payload = _read_payload(execution)
    shown = {"payload": render_json(payload), "curl": curl_command(request, execution, payload)}
    return render(request, "jobs/job.html", {**page.context, **shown, "live": page.live})


@login_required
@require_GET
def step(request: Request, id: str, index: int) -> HttpResponse:
    execution = get_execution(request.user, id)
    row = get_object_or_404(WorkflowStep.objects.defer("output", "arguments"), execution=execution, index=index)
    output = read_up_to(MAX_OUTPUT, WorkflowStep, "output", [row.pk]).get(row.pk)
    (job,), (step,) = describe_jobs([execution], with_results=False), describe_steps([row])
    shown = {"shown": render_output(output), "attempts": attempts_of(row), "can_rerun": can_rerun(job)}
    return render(request, "jobs/step.html", {"job": job, "step": step, **shown})


@login_required
@require_GET
def failures_csv(request: Request, id: str) -> StreamingHttpResponse:
    return failures(get_execution(request.user, id), request.user)


@login_required
@require_GET
def events(request: Request, id: str) -> HttpResponse:
    execution = get_execution(request.user, id)
    found = event_list(execution, limit=EVENTS_PER_PAGE, before=query_number(request, "before", digits=18))
    return render(request, "jobs/events.html", {"job": execution, "events": found})
