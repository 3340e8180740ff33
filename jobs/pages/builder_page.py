"""The page that builds a workflow: to start it, to save it, and to run a saved workflow or a finished job changed.

The form and the JSON are two views of the same request. The buttons of the page send their name as `act`.
"""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods
from drf_standardized_errors.formatter import flatten_errors
from rest_framework.exceptions import APIException, ValidationError

from aiworkstation.access.lookup import as_uuid
from aiworkstation.ids import uuid7
from aiworkstation.web.requests import Request, posted_text
from aiworkstation.web.serializers import invalid
from jobs.idempotency import MAX_KEY
from jobs.large_json import LargeJson, read_up_to
from jobs.lookup import get_execution
from jobs.models import SavedWorkflow
from jobs.pages.builder.argument_fields import documents_to_pick
from jobs.pages.builder.builder import Builder, NoField
from jobs.pages.forms import (
    Body,
    PasteForm,
    SaveForm,
    error_lines,
    start_body_once,
    start_once_from_form,
    workflow_body,
)
from jobs.pages.rendered_output import pretty_json
from jobs.rerun import plan_rerun, start_rerun
from jobs.saved_workflows import (
    JOB_TYPE,
    ChangeRequest,
    SaveRequest,
    change_workflow,
    check_may_change,
    get_workflow_by_id,
    save_workflow,
)
from jobs.start import JobRequest
from workflows.models import WorkflowExecution

MAX_EDITED = 200_000
"""Bytes of a job's request that a page offers for editing."""
JSON_VIEW = "json"


@dataclass
class Editor:
    """What the page shows: a form or JSON, and where its contents come from.

    Nothing, a saved `workflow` (changed by its owner only, with `version` as it was opened), or a finished job
    (`source`), which then runs again with the new request.
    """

    request: Request
    workflow: SavedWorkflow | None = None
    source: WorkflowExecution | None = None
    version: str = ""
    builder: Builder | None = None
    json: PasteForm = field(default_factory=PasteForm)
    save: SaveForm = field(default_factory=lambda: SaveForm(prefix="save"))

    @property
    def may_change(self) -> bool:
        return self.workflow is not None and self.workflow.may_be_changed_by(self.request.user)

    def show_body(self, body: Body) -> None:
        """Shows the request as a form, or as JSON if the form would lose something of it."""
        try:
            self.builder = Builder.of_body(self.request.user, body)
        except NoField as reason:
            messages.info(self.request, f"This request is shown as JSON. {reason}")
            self.show_json(body)

    def show_json(self, body: Body) -> None:
        self.builder = None
        self.json = PasteForm(initial={"body": pretty_json(body)})

    def body(self) -> Body | None:
        """The request that was entered, None if the text of a field cannot be read."""
        if self.builder is not None:
            return self.builder.body() if self.builder.is_valid() else None
        return self.json.job_body() if self.json.is_valid() else None

    def place_errors(self, error: APIException) -> None:
        if self.builder is not None:
            self.builder.place_errors(error)
        else:
            for line in error_lines(error):
                self.json.add_error("body", line)

    def response(self, status: HTTPStatus = HTTPStatus.OK) -> HttpResponse:
        user = self.request.user
        context = {"editor": self, "key": uuid7(), "documents": documents_to_pick(user) if self.builder else []}
        return render(self.request, "jobs/new.html", context, status=status)


@login_required
@require_http_methods(["GET", "POST"])
def new(request: Request) -> HttpResponse:
    editor = _opened(request, request.POST if request.method == "POST" else request.GET)
    if request.method == "GET":
        return _first_view(request, editor)
    if request.POST.get("view") == JSON_VIEW:
        editor.json = PasteForm(request.POST)
    else:
        editor.builder = Builder.of_form(request.user, request.POST)
    return _act(request, editor, posted_text(request, "act") or "start")


def _opened(request: Request, given: Any) -> Editor:
    """Raises Http404 if the workflow or the job is not there or not the user's."""
    editor = Editor(request)
    if (workflow := as_uuid(given.get("workflow", ""))) is not None:
        editor.workflow = get_workflow_by_id(request.user, workflow)
        editor.version = given.get("version", str(editor.workflow.version))
    elif job := given.get("job", ""):
        editor.source = get_execution(request.user, job)
    return editor


def _first_view(request: Request, editor: Editor) -> HttpResponse:
    if editor.workflow is not None:
        editor.show_body(workflow_body(editor.workflow.payload))
    elif editor.source is not None:
        payload = read_up_to(MAX_EDITED, WorkflowExecution, "payload", [editor.source.pk])[editor.source.pk]
        if editor.source.job_type != JOB_TYPE or isinstance(payload, LargeJson):
            return redirect("jobs:rerun", editor.source.pk)
        editor.show_body(workflow_body(payload))
    elif request.GET.get("view") != JSON_VIEW:
        editor.builder = Builder.empty(request.user)
    return editor.response()


def _act(request: Request, editor: Editor, act: str) -> HttpResponse:
    verb = _VERBS.get(act)
    if verb is None and editor.builder is not None:
        editor.builder = editor.builder.after(act)
        return editor.response()
    body = editor.body()
    if body is not None and verb is not None:
        try:
            if (answer := verb(request, editor, body)) is not None:
                return answer
        except APIException as error:
            editor.place_errors(error)
    return editor.response(HTTPStatus.BAD_REQUEST)


def _to_json(request: Request, editor: Editor, body: Body) -> HttpResponse:
    editor.show_json(body)
    return editor.response()


def _to_form(request: Request, editor: Editor, body: Body) -> HttpResponse | None:
    try:
        editor.builder = Builder.of_body(request.user, body)
    except NoField as reason:
        editor.json.add_error("body", str(reason))
        return None
    return editor.response()


def _check(request: Request, editor: Editor, body: Body) -> HttpResponse:
    JobRequest(data=body, context={"user": request.user}).is_valid(raise_exception=True)
    messages.success(request, "No errors found. Nothing was started.")
    return editor.response()


def _start(request: Request, editor: Editor, body: Body) -> HttpResponse:
    key = posted_text(request, "key", MAX_KEY)
    if editor.source is None:
        return redirect("jobs:job", start_body_once(request.user, body, key).pk)
    source, payload = editor.source, _workflow_payload(body)
    plan = plan_rerun(source, {"payload": payload})
    entered = {"rerunOf": str(source.pk), "payload": payload}
    actor = request.user.get_username()
    job = start_once_from_form(request.user, key, entered, lambda: start_rerun(plan, actor=actor))
    return redirect("jobs:job", job.pk)


def _save(request: Request, editor: Editor, body: Body) -> HttpResponse | None:
    """Saves the workflow under a new name."""
    editor.save = SaveForm(request.POST, prefix="save")
    if not editor.save.is_valid():
        return None
    asked = SaveRequest(
        data={**editor.save.cleaned_data, "payload": _workflow_payload(body)}, context={"user": request.user}
    )
    try:
        asked.is_valid(raise_exception=True)
        saved = save_workflow(request.user, asked.validated_data)
    except APIException as error:
        of_name = [found.detail for found in flatten_errors(error.detail) if found.attr in ("name", None)]
        for detail in of_name:
            editor.save.add_error("name", detail)
        if of_name:
            return None
        raise
    messages.success(request, f"Saved the workflow {saved.name}.")
    return redirect("jobs:workflow", saved.pk)


def _update(request: Request, editor: Editor, body: Body) -> HttpResponse:
    """Saves a new version of the workflow that was opened. Raises Conflict if it was changed meanwhile."""
    if editor.workflow is None:
        raise ValidationError(invalid("The form arrived incomplete. Open the workflow again."))
    found = check_may_change(request.user, editor.workflow)
    data: dict[str, Any] = {"payload": _workflow_payload(body)}
    if editor.version.isdecimal():
        data["version"] = int(editor.version[:9])
    asked = ChangeRequest(data=data, context={"user": found.owner})
    asked.is_valid(raise_exception=True)
    changed = change_workflow(request.user, found, asked.validated_data)
    messages.success(request, f"Saved as version {changed.version}.")
    return redirect("jobs:workflow", found.pk)


_VERBS = {"start": _start, "check": _check, "save": _save, "update": _update, "json": _to_json, "form": _to_form}


def _workflow_payload(body: Body) -> Any:
    if body.get("jobType") != JOB_TYPE:
        raise ValidationError({"jobType": invalid("Only workflows can be saved or run again here.")})
    return body.get("payload")
