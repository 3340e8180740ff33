"""The compact panel: the user's unfinished jobs, in the margin of every page and in templates of other apps."""

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
from jobs.pages.fragments import job_state

MAX_JOBS = 5


@dataclass(frozen=True)
class CompactPanel:
    """Empty if the user has no unfinished jobs."""

    jobs: list[Job]
    has_more: bool

    @property
    def context(self) -> dict[str, Any]:
        return {"jobs": self.jobs, "has_more": self.has_more, "news": self._news}

    @property
    def _news(self) -> str:
        """What a screen reader announces when it changes: states, but no progress."""
        if not self.jobs:
            return "No unfinished jobs"
        count = f"More than {MAX_JOBS}" if self.has_more else str(len(self.jobs))
        states = ", ".join(f"{job.name} {job.status}" for job in self.jobs)
        return f"{count} unfinished job{'' if len(self.jobs) == 1 else 's'}: {states}"

    @property
    def live(self) -> LiveFragments:
        version = ([job.id for job in self.jobs], self.has_more)
        fragments = [Fragment("jobs-panel", "jobs/_panel_list.html", self.context, version)]
        fragments.append(news("jobs-panel-news", self._news))
        fragments += [job_state(job, "panel") for job in self.jobs]
        return LiveFragments("jobs-panel-live", reverse("jobs:panel"), fragments, bool(self.jobs))


def compact_panel(user: User) -> CompactPanel:
    rows = list_executions(user, {}).order_by(*NEWEST_FIRST)[: MAX_JOBS + 1]
    jobs = describe_jobs(list(rows), with_results=False)
    return CompactPanel(jobs[:MAX_JOBS], len(jobs) > MAX_JOBS)


@login_required
@require_GET
def panel(request: Request) -> HttpResponse:
    return compact_panel(request.user).live.answer(request)
