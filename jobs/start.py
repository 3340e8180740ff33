"""Starting a job, for the API, the pages and the command line: from a request's body to stored steps."""

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from aiworkstation.web.errors import Conflict
from aiworkstation.web.serializers import (
    Errors,
    JsonObject,
    Name,
    Number,
    StrictSerializer,
    Whole,
    invalid,
)
from documents.labels import ProjectIdField, TagsField
from jobs import types
from jobs.models import IdempotencyKey
from jobs.types import JobType
from workflows import engine
from workflows.models import Mode, Queue, WorkflowExecution
from workflows.steps import NewExecution

MAX_DELAY = 30 * 24 * 3600
MAX_PARALLEL = 200
KEY = "idempotencyKey"
KEPT = timedelta(hours=24)


class JobTypeField(serializers.Field[JobType, Any, Any, Any]):
    """The name of a job type; itself, once validated."""

    default_error_messages = {"unknown": "There is no job type {name}. There are: {known}."}

    def to_internal_value(self, data: Any) -> JobType:
        name = Name().run_validation(data)
        job_type = types.get(name)
        if job_type is None:
            self.fail("unknown", name=name, known=", ".join(types.names()))
        return job_type


class JobRequest(StrictSerializer):
    """The body of `POST /api/jobs`. `context["user"]` is whose job it will be."""

    jobType = JobTypeField(source="job_type")
    payload = JsonObject()
    idempotencyKey = Name(max_length=255, required=False, source="idempotency_key")
    delaySeconds = Number(min_value=0, max_value=MAX_DELAY, default=0, source="delay")
    priority = serializers.ChoiceField(Queue.values, required=False)
    tags = TagsField()
    projectId = ProjectIdField(required=False)
    maxParallel = Whole(min_value=1, max_value=MAX_PARALLEL, default=5, source="max_parallel")

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        if "payload" not in value or "job_type" not in value:
            return
        payload = value["job_type"].Payload(data=value["payload"], context=self.context)
        if payload.is_valid():
            value["payload"] = payload.validated_data
        else:
            errors["payload"] = payload.errors


def start(
    user: User, body: Any, *, idempotency_key: str | None = None, actor: str | None = None
) -> tuple[WorkflowExecution, bool]:
    """The job, and whether it is new: with a key that was used within 24 hours it is the first one's.

    Raises ValidationError that names every bad field, before any row is made, and Conflict where the key came
    with another body. `actor` is who is said to have started it: the user, unless told.
    """
    key, wrong = _key(body, idempotency_key)
    digest = _digest(body)
    if key and (first := _first_of(user, key, digest)):
        return first, False
    request = JobRequest(data=body, context={"user": user})
    if not request.is_valid() or wrong:
        raise ValidationError({**request.errors, **wrong})
    try:
        return _store(user, request.validated_data, body, actor or user.username, key, digest), True
    except IntegrityError:
        # Another request with this key was stored meanwhile: the unique constraint has decided.
        if not key or not (first := _first_of(user, key, digest)):
            raise
        return first, False


def _key(body: Any, header: str | None) -> tuple[str, Errors]:
    """The key of the header or the body, empty where there is none, and what is wrong with it."""
    in_body = body.get(KEY) if isinstance(body, Mapping) else None
    given = header if in_body is None else in_body
    if given is None:
        return "", {}
    try:
        key = Name(max_length=255).run_validation(given)
    except ValidationError as error:
        return "", {KEY: error.detail}
    if header is not None and header.strip() != key:
        return "", {KEY: invalid("The header Idempotency-Key says otherwise.")}
    return str(key), {}


def _digest(body: Any) -> str:
    """Of the same JSON, whatever its spaces and the order of its keys, and wherever its key stands."""
    rest = {name: value for name, value in body.items() if name != KEY} if isinstance(body, Mapping) else body
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _first_of(user: User, key: str, digest: str) -> WorkflowExecution | None:
    kept = IdempotencyKey.objects.filter(owner=user, key=key, created_at__gt=timezone.now() - KEPT)
    found = kept.select_related("execution__owner").first()
    if found is None:
        return None
    if found.body_sha256 != digest:
        raise Conflict("This idempotency key came with another body.", code="idempotency_key_reused")
    return found.execution


@transaction.atomic
def _store(
    user: User, value: dict[str, Any], body: Mapping[str, Any], actor: str, key: str, digest: str
) -> WorkflowExecution:
    job_type: JobType = value["job_type"]
    execution_id = engine.start(_new_execution(user, value, body), actor=actor)
    job_type.stored(execution_id, value["payload"])
    if key:
        IdempotencyKey.objects.filter(owner=user, key=key, created_at__lte=timezone.now() - KEPT).delete()
        IdempotencyKey.objects.create(owner=user, key=key, body_sha256=digest, execution_id=execution_id)
    return WorkflowExecution.objects.select_related("owner").get(pk=execution_id)


def _new_execution(user: User, value: dict[str, Any], body: Mapping[str, Any]) -> NewExecution:
    job_type: JobType = value["job_type"]
    payload: dict[str, Any] = value["payload"]
    plan = job_type.plan(payload, user)
    return NewExecution(
        owner_id=user.pk,
        job_type=job_type.name,
        name=plan.name,
        description=plan.description,
        steps=plan.steps,
        mode=payload["mode"].name if "mode" in payload else Mode.DEFAULT,
        model_id=plan.model_id,
        project_id=value.get("project_id") or payload.get("project_id", ""),
        tags=list(dict.fromkeys([*payload.get("tags", []), *value.get("tags", [])])),
        payload=body["payload"],
        queue=value.get("priority", job_type.queue),
        max_parallel=value["max_parallel"],
        tolerates_failures=plan.tolerates_failures,
        delay=value["delay"],
    )
