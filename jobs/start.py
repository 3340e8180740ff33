"""Starts a job for the API, the pages and the command line: from the body of a request to stored steps."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from aiworkstation.access import quota
from aiworkstation.web.serializers import (
    Choice,
    Errors,
    Integer,
    JsonObject,
    Name,
    Number,
    StrictSerializer,
    invalid,
)
from documents.labels import ProjectIdField, TagsField
from jobs.idempotency import KEY, MAX_KEY, start_once
from jobs.job_input import remember_input
from jobs.job_type import JobType, find_job_type, job_type_names
from workflows import engine
from workflows.models import LargeJson, Queue, WorkflowExecution
from workflows.models.large_json import LARGE
from workflows.steps import NewExecution

MAX_DELAY = 30 * 24 * 3600
MAX_PARALLEL = 200


class JobTypeField(serializers.Field[JobType, Any, Any, Any]):
    """The name of a job type. The validated value is the job type itself."""

    default_error_messages = {"unknown": "There is no job type {name}. Choose one of: {known}."}

    def to_internal_value(self, data: Any) -> JobType:
        name = Name().run_validation(data)
        job_type = find_job_type(name)
        if job_type is None:
            self.fail("unknown", name=name, known=", ".join(job_type_names()))
        return job_type


class JobOptions(StrictSerializer):
    """The keys of a request that starts a job, besides its type and payload."""

    idempotencyKey = Name(max_length=MAX_KEY, required=False, source="idempotency_key")
    delaySeconds = Number(min_value=0, max_value=MAX_DELAY, default=0, source="delay")
    priority = Choice(Queue.values, required=False)
    tags = TagsField()
    projectId = ProjectIdField(required=False)
    maxParallel = Integer(min_value=1, max_value=MAX_PARALLEL, default=5, source="max_parallel")


class JobRequest(JobOptions):
    """The body of `POST /api/jobs`. `context["user"]` is the owner of the new job."""

    jobType = JobTypeField(source="job_type")
    payload = JsonObject()

    def known_keys(self) -> list[str]:
        return ["jobType", "payload", *JobOptions().known_keys()]

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        if "payload" not in value or "job_type" not in value:
            return
        payload = value["job_type"].Payload(data=value["payload"], context=self.context)
        if payload.is_valid():
            value["payload"] = payload.validated_data
        else:
            errors["payload"] = payload.errors


@dataclass(frozen=True, slots=True)
class Origin:
    """The version of a saved workflow that a job runs. `request` is what the client sent to run it."""

    id: UUID
    name: str
    version: int
    request: Mapping[str, Any]


def start(
    user: User,
    body: Any,
    *,
    idempotency_key: str | None = None,
    actor: str | None = None,
    origin: Origin | None = None,
) -> tuple[WorkflowExecution, bool]:
    """Returns the job and whether it is new. A key that was used within 24 hours returns its first job.

    Before any row is written, it raises a ValidationError that names every bad field, or Conflict if the key came with
    another body. `actor` is the name in the audit trail, by default the user's.
    """
    key, wrong = _idempotency_key(body, idempotency_key)
    # A repeated request to run a saved workflow is the same request, even if the workflow was changed meanwhile.
    sent = body if origin is None else {"workflow": str(origin.id), **origin.request}

    def start_new() -> UUID:
        with within_quota():
            quota.check_start(user.pk)
        request = JobRequest(data=body, context={"user": user})
        if not request.is_valid() or wrong:
            raise ValidationError({**request.errors, **wrong})
        new = _new_job(user, request.validated_data, body, origin)
        return _store(new, request.validated_data, actor=actor or user.username)

    # Validated inside: a repetition returns its job even if the body would be refused by now, such as for a document
    # that was deleted meanwhile.
    return start_once(user, key, sent, start_new)


def _idempotency_key(body: Any, header: str | None) -> tuple[str, Errors]:
    """Returns the key from the header or the body, empty if there is none, and its errors."""
    in_body = body.get(KEY) if isinstance(body, Mapping) else None
    given = header if in_body is None else in_body
    if given is None:
        return "", {}
    try:
        key = Name(max_length=MAX_KEY).run_validation(given)
    except ValidationError as error:
        return "", {KEY: error.detail}
    if header is not None and header.strip() != key:
        return "", {KEY: invalid("The header Idempotency-Key has another value. Send the same key in both, or in one.")}
    return str(key), {}


def _new_job(user: User, value: dict[str, Any], body: Mapping[str, Any], origin: Origin | None) -> NewExecution:
    new = new_execution(user, value["job_type"], value["payload"], body["payload"])
    _set_options(new, value)
    if origin is not None:
        new.workflow_id, new.workflow_name, new.workflow_version = origin.id, origin.name, origin.version
    return new


def _store(new: NewExecution, value: dict[str, Any], *, actor: str) -> UUID:
    execution_id = engine.start(new, actor=actor)
    take_room_for_payload(execution_id, new)
    # In the same transaction: documents must not point to a job that does not exist.
    value["job_type"].stored(execution_id, value["payload"])
    remember_input(execution_id, new.payload)
    return execution_id


def take_room_for_payload(execution_id: UUID, new: NewExecution) -> None:
    """Counts a large payload against its owner's quota. Raises ValidationError if there is no room."""
    size = len(json.dumps(new.payload))
    if size >= LARGE:
        with within_quota():
            LargeJson.take_room(new.owner_id, execution_id, execution_id, size)


@contextmanager
def within_quota() -> Iterator[None]:
    """Makes OverQuota a ValidationError, which clients and pages show."""
    try:
        yield
    except quota.OverQuota as error:
        raise ValidationError({"payload": invalid(str(error), quota.OverQuota.code)}) from error


def new_execution(user: User, job_type: JobType, payload: dict[str, Any], raw: dict[str, Any]) -> NewExecution:
    """Returns the job that a valid payload asks for. `raw` is the payload as it was sent."""
    plan = job_type.plan(payload, user)
    return NewExecution(
        owner_id=user.pk,
        job_type=job_type.name,
        name=plan.name,
        description=plan.description,
        steps=plan.steps,
        mode=payload["mode"].name,
        model_id=plan.model_id,
        project_id=payload.get("project_id", ""),
        tags=list(dict.fromkeys(payload.get("tags", []))),
        payload=raw,
        queue=job_type.queue,
        tolerates_failures=plan.tolerates_failures,
    )


def labels_beside_payload(execution: WorkflowExecution, payload: Any) -> tuple[list[str], str]:
    """Returns the tags and the project of a job that its payload does not give: those that were sent beside it."""
    inside = payload if isinstance(payload, dict) else {}
    tags = [tag for tag in execution.tags if tag not in (inside.get("tags") or [])]
    return tags, "" if execution.project_id == inside.get("projectId") else execution.project_id


def _set_options(new: NewExecution, value: dict[str, Any]) -> None:
    """Applies the options at the top level of the body."""
    new.project_id = value.get("project_id") or new.project_id
    new.tags = list(dict.fromkeys([*new.tags, *value.get("tags", [])]))
    new.queue = value.get("priority", new.queue)
    new.max_parallel = value["max_parallel"]
    new.delay = value["delay"]
