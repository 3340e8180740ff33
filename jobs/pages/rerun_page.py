"""The page that runs a finished job again: from the beginning or from a step, with the same payload or an edited one.

It shows what the new job takes over before anything starts.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods
from rest_framework.exceptions import APIException

from aiworkstation.ids import uuid7
from aiworkstation.web.form_fields import Choice
from aiworkstation.web.requests import Request
from jobs.job_type import find_job_type
from jobs.large_json import LargeJson, read_up_to
from jobs.lookup import get_execution
from jobs.pages.forms import JsonText, error_lines, form_key, start_once_from_form
from jobs.pages.rendered_output import pretty_json
from jobs.rerun import Rerun, plan_rerun, reused_text, start_rerun
from workflows.models import WorkflowExecution, WorkflowStep

MAX_EDITED = 200_000
"""Bytes of a payload that a page offers for editing."""


class RerunForm(forms.Form):
    """`from` is the index of a step, or empty for the beginning. An empty payload means the stored one."""

    payload = JsonText(
        label="Request", required=False, widget=forms.Textarea({"rows": 16, "spellcheck": "false", "class": "code"})
    )

    def __init__(self, steps: list[tuple[int, str]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", "the beginning"), *((str(index), f"step {index + 1}: {name}") for index, name in steps)]
        self.fields["from"] = Choice(label="Run from", choices=choices, required=False)
        self.fields["key"] = form_key()

    def body(self, stored: Any) -> dict[str, Any]:
        """A validated RerunRequest."""
        chosen, payload = self.cleaned_data["from"], self.cleaned_data.get("payload")
        return {
            "from_step": int(chosen) if chosen else None,
            "payload": None if payload == stored else payload,
        }


@dataclass(frozen=True)
class Preview:
    """What the new job would take over and run, or the reasons why it cannot start."""

    runs: list[str]
    keeps: list[str]
    saved: str
    errors: list[str]


@login_required
@require_http_methods(["GET", "POST"])
def rerun(request: Request, id: str) -> HttpResponse:
    """Shows the plan. A POST starts the new job. The button `check` only shows the plan of what was entered."""
    execution = get_execution(request.user, id)
    stored = read_up_to(MAX_EDITED, WorkflowExecution, "payload", [execution.pk])[execution.pk]
    form = _form(execution, stored, request.POST if request.method == "POST" else None, request.GET.get("from", ""))
    is_start = request.method == "POST" and "check" not in request.POST
    preview = Preview([], [], "", [])
    if form.is_valid():
        try:
            plan = plan_rerun(execution, form.body(stored))
            if is_start:
                return redirect("jobs:job", _start_once(request, form, plan).pk)
            preview = _preview(plan)
        except APIException as error:
            preview = Preview([], [], "", error_lines(error))
    context = {"job": execution, "form": form, "preview": preview, "is_large": isinstance(stored, LargeJson)}
    return render(request, "jobs/rerun.html", context, status=HTTPStatus.BAD_REQUEST if is_start else HTTPStatus.OK)


def _start_once(request: Request, form: RerunForm, plan: Rerun) -> WorkflowExecution:
    entered = {"rerunOf": str(plan.source), "from": form.cleaned_data["from"], "payload": plan.new.payload}
    actor = request.user.get_username()
    return start_once_from_form(request.user, form.cleaned_data["key"], entered, lambda: start_rerun(plan, actor=actor))


def _form(execution: WorkflowExecution, stored: Any, posted: QueryDict | None, start: str) -> RerunForm:
    """The form is bound from the first view on, so that it shows a plan at once."""
    job_type = find_job_type(execution.job_type)
    rows = WorkflowStep.objects.filter(execution=execution).order_by("index")
    steps = [] if job_type is None or job_type.lists_files else list(rows.values_list("index", "name"))
    shown = "" if isinstance(stored, LargeJson) else pretty_json(stored)
    form = RerunForm(steps, posted if posted is not None else {"from": start, "payload": shown, "key": str(uuid7())})
    if isinstance(stored, LargeJson):
        del form.fields["payload"]
    return form


def _preview(plan: Rerun) -> Preview:
    steps = list(enumerate(plan.new.steps))
    return Preview(
        runs=[step.name for index, step in steps if index not in plan.copies],
        keeps=[step.name for index, step in steps if index in plan.copies],
        saved=reused_text(plan.reused),
        errors=[],
    )
