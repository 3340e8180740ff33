"""The buttons that cancel, retry and delete a job, and retry one of its steps."""

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST
from django_htmx.http import trigger_client_event

from aiworkstation.web.live_fragments import REFRESH_EVENT
from aiworkstation.web.requests import Request
from jobs.lookup import find_step, get_execution
from workflows import engine


@login_required
@require_POST
def cancel(request: Request, id: str) -> HttpResponse:
    return _steer(request, id, engine.cancel, "{name} has finished already, so it cannot be canceled.")


@login_required
@require_POST
def retry(request: Request, id: str) -> HttpResponse:
    return _steer(request, id, engine.retry, "{name} cannot be retried: it has not failed and was not canceled.")


@login_required
@require_POST
def retry_step(request: Request, id: str, index: int) -> HttpResponse:
    step = find_step(get_execution(request.user, id), None, index)
    refusal = "The step cannot be retried: it must have failed, been skipped or canceled, and its job must be finished."
    return _steer(request, id, lambda job, *, actor: engine.retry_step(job, step.pk, actor=actor), refusal)


@login_required
@require_POST
def delete(request: Request, id: str) -> HttpResponse:
    execution = get_execution(request.user, id)
    if not engine.delete(execution.pk, actor=request.user.get_username()):
        messages.warning(request, f"{execution.name} is not finished, so it cannot be deleted. Cancel it first.")
        return redirect("jobs:job", execution.pk)
    messages.success(request, f"Deleted {execution.name}.")
    return redirect("jobs:list")


def _steer(request: Request, id: str, verb: Callable[..., bool], refusal: str) -> HttpResponse:
    """Calls the engine's verb. With htmx, the page's own polls show the result, so the answer makes them poll now."""
    execution = get_execution(request.user, id)
    if not verb(execution.pk, actor=request.user.get_username()):
        messages.warning(request, refusal.format(name=execution.name))
    if not request.htmx:
        return redirect("jobs:job", execution.pk)
    return trigger_client_event(render(request, "web/_messages.html", {"oob": True}), REFRESH_EVENT)
