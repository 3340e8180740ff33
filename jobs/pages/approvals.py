"""Questions to people: the list of those that wait for an answer, and the buttons that give it."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST
from drf_standardized_errors.formatter import flatten_errors
from rest_framework.exceptions import APIException

from aiworkstation import strict_json
from aiworkstation.web.parsers import loads_storable
from aiworkstation.web.requests import Request
from jobs.approvals import ApprovalBody, Decision, RejectionBody, answer_step, get_step_to_answer
from jobs.display import describe_steps
from workflows.models import WorkflowExecution, WorkflowStep

SHOWN = 50
MAX_ARGUMENTS = 20_000
"""Bytes of the arguments that a page offers for editing."""


@login_required
@require_GET
def approvals(request: Request) -> HttpResponse:
    rows = WorkflowStep.objects.answerable_by(request.user).awaiting_approval().select_related("execution__owner")
    found = list(rows.defer("output", "arguments").order_by("answer_by", "pk")[:SHOWN])
    visible = WorkflowExecution.objects.visible_to(request.user).filter(pk__in=[row.execution_id for row in found])
    seen = set(visible.values_list("pk", flat=True))
    steps = describe_steps(found, max_arguments=MAX_ARGUMENTS)
    asked = [
        {"job": row.execution, "step": step, "is_visible": row.execution_id in seen}
        for row, step in zip(found, steps, strict=True)
    ]
    return render(request, "jobs/approvals.html", {"asked": asked, "next": request.path})


@login_required
@require_POST
def approve(request: Request, id: str, step_id: str) -> HttpResponse:
    return _answer(request, id, step_id, "approved")


@login_required
@require_POST
def reject(request: Request, id: str, step_id: str) -> HttpResponse:
    return _answer(request, id, step_id, "rejected")


def _answer(request: Request, id: str, step_id: str, decision: Decision) -> HttpResponse:
    step = get_step_to_answer(request.user, id, step_id)
    try:
        answer_step(step, request.user, decision, read_answer(request, step, decision))
    except strict_json.BadJson as error:
        messages.error(request, f"The arguments are not valid JSON: {error}")
    except APIException as error:
        for line in flatten_errors(error.detail):
            messages.error(request, f"{line.attr}: {line.detail}" if line.attr else line.detail)
    else:
        messages.success(request, f"{step.name}: {decision}.")
    is_visible = WorkflowExecution.objects.visible_to(request.user).filter(pk=step.execution_id).exists()
    if is_visible and "from_list" not in request.POST:
        return redirect("jobs:job", step.execution_id)
    return redirect("jobs:approvals")


def read_answer(request: HttpRequest, step: WorkflowStep, decision: Decision) -> dict[str, Any]:
    """Reads the form. Raises BadJson, and ValidationError. Leaves out arguments that were not changed."""
    given: dict[str, Any] = {"comment": request.POST.get("comment", "").strip()}
    text = request.POST.get("arguments", "").strip()
    if decision == "approved" and text:
        arguments = loads_storable(text)
        (shown,) = describe_steps([step])
        if shown.approval is None or arguments != shown.approval.arguments:
            given["arguments"] = arguments
    body = (ApprovalBody if decision == "approved" else RejectionBody)(data=given)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)
