"""The page of the workers, for staff: what each runs, pauses, and drains."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from aiworkstation.access.lookup import as_uuid
from aiworkstation.web.requests import Request, posted_text
from workflows import tools
from workflows.engine.pause import drain, end_drain, pause, resume
from workflows.engine.why_waiting import silent_after, slot_use
from workflows.models import Pause, StepStatus, Worker, WorkflowExecution, WorkflowStep

SHOWN = 5
"""How many running steps of a worker are listed."""
MOST_STEPS = 1000
"""How many running steps are read."""
MAX_NAME = 200
MAX_REASON = 300


@dataclass(frozen=True)
class ShownWorker:
    """`slots` has the name, the busy and all slots of each kind; the steps of the reserve count as busy."""

    row: Worker
    is_silent: bool
    slots: list[tuple[str, int, int]]
    steps: list[WorkflowStep]

    @property
    def first_steps(self) -> list[WorkflowStep]:
        return self.steps[:SHOWN]

    @property
    def more(self) -> int:
        return max(len(self.steps) - SHOWN, 0)

    @property
    def can_be_drained(self) -> bool:
        """A stock cluster's row exists only while it runs one job."""
        return self.row.kind == "runner"


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def workers(request: Request) -> HttpResponse:
    """A request of htmx gets the part that refreshes itself."""
    if not request.user.is_staff:
        raise Http404
    if request.method == "POST":
        _act(request)
        return redirect("jobs:workers")
    context = {
        "workers": _shown(),
        "pauses": Pause.objects.all(),
        "tools": [*tools.known_slugs()],
        "projects": _projects(),
    }
    return render(request, "jobs/_workers.html" if request.htmx else "jobs/workers.html", context)


def _shown() -> list[ShownWorker]:
    rows = list(Worker.objects.order_by("host", "started_at", "pk"))
    running = WorkflowStep.objects.filter(status=StepStatus.RUNNING, worker__in=[row.pk for row in rows])
    steps = defaultdict(list)
    for step in running.select_related("execution").only("name", "tool", "worker", "started_at", "index", "crashes",
                                                          "slot", "execution__name")[:MOST_STEPS]:  # fmt: skip
        steps[step.worker].append(step)
    silent = timezone.now() - silent_after()
    return [ShownWorker(row, row.last_beat < silent, _slots(row), steps[row.pk]) for row in rows]


def _slots(row: Worker) -> list[tuple[str, int, int]]:
    use = slot_use([row])
    return [(kind, each.busy, each.total) for kind, each in use.items()]


def _projects() -> list[str]:
    """Projects of unfinished jobs, as suggestions."""
    rows = WorkflowExecution.objects.unfinished().exclude(project_id="").order_by()
    return sorted(rows.values_list("project_id", flat=True).distinct()[:100])


def _act(request: Request) -> None:
    actions: dict[str, Callable[[Request], str]] = {
        "pause": _pause,
        "resume": _resume,
        "drain": _drain,
        "end_drain": _end_drain,
    }
    action = actions.get(request.POST.get("action", ""))
    if action is None:
        messages.error(request, f"There is no such action. Choose one of: {', '.join(actions)}.")
    elif wrong := action(request):
        messages.error(request, wrong)


def _pause(request: Request) -> str:
    """Returns what is wrong with the form, or an empty string."""
    chosen = _chosen(request)
    if isinstance(chosen, str):
        return chosen
    reason = posted_text(request, "reason", MAX_REASON).strip()
    if not reason:
        return "Enter a reason: everybody whose jobs wait sees it."
    if not pause(actor=request.user.username, reason=reason, **chosen):
        return "This was paused already."
    messages.success(request, "Paused. Running steps continue to their end.")
    return ""


def _resume(request: Request) -> str:
    chosen = _chosen(request)
    if isinstance(chosen, str):
        return chosen
    if not resume(actor=request.user.username, **chosen):
        return "This was not paused."
    messages.success(request, "Resumed.")
    return ""


def _chosen(request: Request) -> dict[str, Any] | str:
    """The kind and the name of a pause, or what is wrong with them."""
    kind = posted_text(request, "kind")
    if kind not in Pause.Kind.values:
        return f"Choose what to pause: {', '.join(Pause.Kind.values)}."
    name = "" if kind == Pause.Kind.ALL else posted_text(request, f"{kind}_name", MAX_NAME).strip()
    if kind == Pause.Kind.PROJECT and not name:
        return "Enter the project to pause."
    if kind == Pause.Kind.TOOL and name not in tools.known_slugs() and request.POST.get("action") == "pause":
        return f"There is no tool {name}."
    return {"kind": Pause.Kind(kind), "name": name}


def _drain(request: Request) -> str:
    return _of_worker(request, drain, "The worker takes no new step within seconds.")


def _end_drain(request: Request) -> str:
    return _of_worker(request, end_drain, "The worker takes steps again within seconds.")


def _of_worker(request: Request, verb: Callable[..., bool], done: str) -> str:
    id: UUID | None = as_uuid(request.POST.get("worker", ""))
    if id is None or not verb(id, actor=request.user.username):
        return "The worker is gone, or has changed meanwhile."
    messages.success(request, done)
    return ""
