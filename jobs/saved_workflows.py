"""Saved workflows: payloads that are kept under a name, versioned, private or shared, and run again.

Names belong to their owner, so two users may have a workflow of the same name.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.http import Http404
from rest_framework.exceptions import ValidationError

from aiworkstation.access.lookup import Caller, get_visible, owned_by
from aiworkstation.access.not_yours import NotYours
from aiworkstation.audit.record import record
from aiworkstation.web.errors import Conflict, PreconditionFailed
from aiworkstation.web.serializers import Boolean, Errors, Integer, JsonObject, Name, StrictSerializer, invalid
from jobs.job_type import find_job_type
from jobs.models import SavedWorkflow, SavedWorkflowQuerySet, WorkflowVersion
from jobs.start import JobOptions, Origin, start
from workflows.models import WorkflowExecution

NAME = re.compile(r"[a-z0-9-]{1,64}")
MAX_PAYLOAD = 256 * 1024
"""Bytes of the JSON of a saved payload: lists show whole payloads."""
JOB_TYPE = "workflow"


class WorkflowName(Name):
    default_error_messages = {"invalid": "Use 1 to 64 of the characters a-z, 0-9 and -."}

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if not NAME.fullmatch(name):
            self.fail("invalid")
        return name


class SavedPayload(StrictSerializer):
    """A request with a payload. It is checked like that of a new job. `context["user"]` is the owner."""

    payload = JsonObject()
    isShared = Boolean(required=False, source="is_shared")

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        if "payload" not in value:
            return
        if len(json.dumps(value["payload"], ensure_ascii=False).encode()) > MAX_PAYLOAD:
            errors["payload"] = invalid(f"A saved workflow has at most {MAX_PAYLOAD:,} bytes of JSON.", "max_length")
        elif wrong := payload_errors(value["payload"], self.context["user"]):
            errors["payload"] = wrong


class SaveRequest(SavedPayload):
    """The body of `POST /api/workflows`."""

    name = WorkflowName()


class ChangeRequest(SavedPayload):
    """The body of `PUT /api/workflows/<name>`. Without a payload, it only starts or stops sharing the workflow."""

    payload = JsonObject(required=False)
    version = Integer(required=False, min_value=1)

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        super().cross_check(data, value, errors)
        if not errors and not {"payload", "is_shared"} & set(value):
            errors["payload"] = invalid("Send a payload, isShared, or both.", "required")


class RunRequest(JobOptions):
    """The body of `POST /api/workflows/<name>/runs`."""

    version = Integer(required=False, min_value=1)


def payload_errors(payload: dict[str, Any], user: User) -> Errors:
    """Returns what is wrong with the payload, as in `POST /api/jobs`."""
    job_type = find_job_type(JOB_TYPE)
    assert job_type is not None  # it is part of this application
    checked = job_type.Payload(data=payload, context={"user": user})
    return {} if checked.is_valid() else dict(checked.errors)


def get_workflow(user: Caller, name: str, owner: str = "") -> SavedWorkflow:
    """Returns the user's own workflow of this name, otherwise the only other one that the user may see.

    `owner` is a username. Raises Http404, NotYours, or Conflict if several users have one.
    """
    rows = SavedWorkflow.objects.select_related("owner").filter(name=name)
    if owner:
        rows = rows.filter(owner__username=owner)
    visible = rows.visible_to(user)
    found = list(visible.filter(owner_id=user.pk)) or list(visible[:2])
    if len(found) > 1:
        raise Conflict("Several users have a workflow of this name. Add ?owner=<username>.", code="ambiguous")
    return found[0] if found else _missing(rows)


def get_workflow_by_id(user: Caller, id: UUID) -> SavedWorkflow:
    """The same, by its id."""
    return get_visible(SavedWorkflow.objects.select_related("owner"), user, id, "workflow")


def check_may_change(user: Caller, workflow: SavedWorkflow) -> SavedWorkflow:
    """A shared workflow is changed by its owner and by staff. For others, it looks as if there were none."""
    if not workflow.may_be_changed_by(user):
        raise NotYours(_object(workflow))
    return workflow


def list_workflows(user: Caller, filters: Mapping[str, Any]) -> SavedWorkflowQuerySet:
    """Filters: `owner` (a username or `all`, by default the user), `q` (in the name, and in that of the payload)."""
    rows = owned_by(SavedWorkflow.objects.select_related("owner"), user, filters.get("owner", ""))
    if q := filters.get("q"):
        rows = rows.filter(Q(name__icontains=q) | Q(payload__workflowName__icontains=q))
    return rows


@transaction.atomic
def save_workflow(user: User, value: Mapping[str, Any]) -> SavedWorkflow:
    """`value` is a validated SaveRequest. Raises Conflict if the user has a workflow of this name."""
    try:
        # A savepoint, because a rejected INSERT would end the caller's transaction.
        with transaction.atomic():
            workflow = SavedWorkflow.objects.create(
                owner=user, name=value["name"], payload=value["payload"], is_shared=value.get("is_shared", False)
            )
    except IntegrityError as error:
        message = f"You have a workflow named {value['name']} already. Change it with PUT, or use another name."
        raise Conflict(message, code="name_taken") from error
    _add_version(workflow, user)
    changes = {"name": workflow.name, "version": 1, "isShared": workflow.is_shared}
    record(user, "workflow.saved", _object(workflow), changes)
    workflow.refresh_from_db()
    return workflow


@transaction.atomic
def change_workflow(
    user: User, workflow: SavedWorkflow, value: Mapping[str, Any], *, is_conditional: bool = False
) -> SavedWorkflow:
    """`value` is a validated ChangeRequest. A payload makes a new version.

    With `is_conditional`, it raises PreconditionFailed if the stored workflow is not as in `workflow`. If `value` has a
    version that is not the newest, it raises Conflict.
    """
    # The lock: two changes at once make two versions, and the second one sees the first.
    stored = (
        SavedWorkflow.objects.select_for_update(of=("self",)).select_related("owner").filter(pk=workflow.pk).first()
    )
    if stored is None:
        raise Http404("There is no such workflow.")
    if is_conditional and stored.updated_at != workflow.updated_at:
        raise PreconditionFailed
    if value.get("version", stored.version) != stored.version:
        raise Conflict(f"The newest version is {stored.version}. Read it, and send its number.", code="wrong_version")
    changes: dict[str, Any] = {"name": stored.name}
    if value.get("is_shared", stored.is_shared) != stored.is_shared:
        stored.is_shared = changes["isShared"] = value["is_shared"]
    if "payload" in value:
        stored.payload = value["payload"]
        stored.version += 1
        changes["version"] = stored.version
        _add_version(stored, user)
    if len(changes) > 1:
        stored.updated_at = Now()
        stored.save()
        record(user, "workflow.changed", _object(stored), changes)
        stored.refresh_from_db(fields=["updated_at"])
    return stored


@transaction.atomic
def delete_workflow(user: User, workflow: SavedWorkflow) -> None:
    """Deletes it with its versions and schedules. Its jobs stay."""
    record(user, "workflow.deleted", _object(workflow), {"name": workflow.name, "version": workflow.version})
    workflow.delete()


def run_workflow(
    user: User,
    workflow: SavedWorkflow,
    request: Any,
    *,
    idempotency_key: str | None = None,
    actor: str | None = None,
) -> tuple[WorkflowExecution, bool]:
    """Starts a job of the user, as `jobs.start.start` does. `request` is the body of a RunRequest, as sent.

    Raises ValidationError also if the payload has become invalid, because its mode was deleted for example.
    """
    RunRequest(data=request).is_valid(raise_exception=True)
    options = {name: option for name, option in request.items() if name != "version"}
    version, payload = _version(workflow, request.get("version"))
    origin = Origin(workflow.pk, workflow.name, version, request)
    body = {"jobType": JOB_TYPE, "payload": payload, **options}
    return start(user, body, idempotency_key=idempotency_key, actor=actor, origin=origin)


def _version(workflow: SavedWorkflow, number: int | None) -> tuple[int, dict[str, Any]]:
    """Returns a version and its payload, by default the newest."""
    if number is None or number == workflow.version:
        return workflow.version, workflow.payload
    found = WorkflowVersion.objects.filter(workflow=workflow, version=number).first()
    if found is None:
        wrong = invalid(f"There is no version {number}. The newest is {workflow.version}.", "unknown")
        raise ValidationError({"version": wrong})
    return found.version, found.payload


def _add_version(workflow: SavedWorkflow, user: User) -> None:
    WorkflowVersion.objects.create(
        workflow=workflow, version=workflow.version, payload=workflow.payload, created_by=user.get_username()
    )


def _object(workflow: SavedWorkflow) -> str:
    return f"workflow:{workflow.pk}"


def _missing(rows: SavedWorkflowQuerySet) -> NoReturn:
    """`rows` are those that the user may not see."""
    if hidden := rows.first():
        raise NotYours(_object(hidden))
    raise Http404("There is no such workflow.")
