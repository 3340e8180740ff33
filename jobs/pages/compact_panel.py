"""The panel: the user's unfinished jobs in the margin of every page and in templates of other apps, and in frames."""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from aiworkstation.web.live_fragments import Fragment, LiveFragments, news
from aiworkstation.web.requests import Request
from jobs.display import Job, describe_jobs
from jobs.lookup import NEWEST_FIRST, list_executions
from jobs.pages.fragments import job_actions, job_state
from workflows.models import FINISHED_EXECUTION

MAX_JOBS = 5
MAX_UNFINISHED, MAX_FINISHED = 20, 10
IDLE_SECONDS = 15
"""A panel in another site looks for new jobs this often, because it hears of none."""


@dataclass(frozen=True)
class JobsPanel:
    """At most `most` unfinished jobs. In a frame, also the jobs that were finished last, if it is not compact."""

    jobs: list[Job]
    has_more: bool
    most: int = MAX_JOBS
    url: str = ""
    """What a panel in a frame polls. Empty: the panel is in the margin of a page."""
    with_finished: bool = False

    @property
    def context(self) -> dict[str, Any]:
        return {"jobs": self.jobs, "has_more": self.has_more, "with_finished": self.with_finished, "news": self._news}

    @property
    def _unfinished(self) -> list[Job]:
        return [job for job in self.jobs if not job.is_finished]

    @property
    def _news(self) -> str:
        """What a screen reader announces when it changes: states, but no progress."""
        if not self.jobs:
            return "No unfinished jobs"
        number = len(self._unfinished)
        count = f"More than {self.most}" if self.has_more else str(number)
        states = ", ".join(f"{job.name} {job.status}" for job in self.jobs)
        return f"{count} unfinished job{'' if number == 1 else 's'}: {states}"

    @property
    def live(self) -> LiveFragments:
        version = ([job.id for job in self.jobs], self.has_more)
        fragments = [Fragment("jobs-panel", "jobs/_panel_list.html", self.context, version)]
        fragments.append(news("jobs-panel-news", self._news))
        fragments += [job_state(job, "panel") for job in self.jobs]
        if self.with_finished:
            fragments += [job_actions(job, "panel") for job in self.jobs]
        url, idle = (self.url, IDLE_SECONDS) if self.url else (reverse("jobs:panel"), None)
        return LiveFragments("jobs-panel-live", url, fragments, bool(self._unfinished), idle)


def compact_panel(user: User, *, url: str = "") -> JobsPanel:
    jobs = _newest(user, {}, MAX_JOBS + 1)
    return JobsPanel(jobs[:MAX_JOBS], len(jobs) > MAX_JOBS, url=url)


def full_panel(user: User, *, url: str) -> JobsPanel:
    jobs = _newest(user, {}, MAX_UNFINISHED + 1)
    finished = _newest(user, {"status": FINISHED_EXECUTION}, MAX_FINISHED)
    shown = [*jobs[:MAX_UNFINISHED], *finished]
    return JobsPanel(shown, len(jobs) > MAX_UNFINISHED, MAX_UNFINISHED, url, with_finished=True)


def _newest(user: User, filters: dict[str, Any], number: int) -> list[Job]:
    rows = list_executions(user, filters).order_by(*NEWEST_FIRST)[:number]
    return describe_jobs(list(rows), with_results=False)


@login_required
@require_GET
def panel(request: Request) -> HttpResponse:
    return compact_panel(request.user).live.answer(request)
