"""Callbacks from outside workers: requests whose credential is their signature, of Standard Webhooks.

1. The signature and its time are checked before anything is read: 401.
2. In one transaction the `webhook-id` is stored, the step or the job is changed and the event is written, so that a
   crash loses none and doubles none. An id that is there already is answered 200, `{"duplicate": true}`.
3. What is refused changes nothing, its id is not kept, and it leaves an event, `callback.refused`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import Http404
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response

from aiworkstation.audit.record import record
from aiworkstation.audit.refusals import strangers
from aiworkstation.web.errors import Conflict
from aiworkstation.web.serializers import Errors, Name, Number, StrictSerializer, Text, Whole, invalid
from jobs.api.serializers import StepSerializer
from jobs.api.views import detail
from jobs.displayed_job import describe_step
from jobs.lookup import find_execution, find_step
from workflows import engine, tools
from workflows.engine.outside_answers import Answer
from workflows.errors import StepError
from workflows.models import ExecutionStatus, SeenWebhook, StepStatus, WorkflowExecution
from workflows.network import secrets, webhooks

ACTOR = "outside worker"
MAX_MESSAGE = 500
MAX_ERROR = 10_000
FAILURE = StepError("The outside worker says that it failed, and not why.", code="external_failed")


class Signature(BaseAuthentication):
    """Nobody's session and nobody's token. `request.auth` is the request's `webhook-id`."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, str]:
        try:
            return AnonymousUser(), webhooks.verified_id(request.headers, request._request.body)
        except webhooks.BadSignature as error:
            _tell_of_stranger(request, str(error))
            raise AuthenticationFailed(str(error), code="bad_signature") from error

    def authenticate_header(self, request: Request) -> str:
        return 'StandardWebhooks realm="callbacks"'


class ErrorObject(StrictSerializer):
    code = Name(max_length=100, default=FAILURE.code)
    message = Name(max_length=MAX_ERROR)
    retryable = serializers.BooleanField(default=True)


class ErrorField(serializers.Field[StepError, Any, Any, Any]):
    """The wire's error, or its message alone."""

    def to_internal_value(self, data: Any) -> StepError:
        checked = ErrorObject(data=data if isinstance(data, Mapping) else {"message": data})
        checked.is_valid(raise_exception=True)
        value = checked.validated_data
        return StepError(value["message"], code=value["code"], retryable=value["retryable"])


class StepUpdate(StrictSerializer):
    executionId = Text(source="execution_id")
    stepId = Text(required=False, allow_null=True, source="step_id")
    stepIndex = Whole(min_value=0, max_value=2**31 - 1, required=False, allow_null=True, source="step_index")
    callbackToken = Text(required=False, allow_null=True, source="token")
    status = serializers.ChoiceField([StepStatus.RUNNING, StepStatus.COMPLETED, StepStatus.FAILED])
    progress = Number(min_value=0, max_value=100, required=False, allow_null=True)
    message = Text(required=False, allow_null=True, allow_blank=True)
    output = serializers.JSONField(required=False, allow_null=True)
    error = ErrorField(required=False, allow_null=True)

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        status = value.get("status")
        if value.get("step_id") is None and value.get("step_index") is None:
            errors.setdefault("stepId", invalid("Name the step by stepId or stepIndex.", "required"))
        if value.get("output") is not None and status != StepStatus.COMPLETED:
            errors["output"] = invalid("Goes with the status completed.")
        if value.get("error") is not None and status != StepStatus.FAILED:
            errors["error"] = invalid("Goes with the status failed.")


class ExecutionUpdate(StrictSerializer):
    executionId = Text(source="execution_id")
    status = serializers.ChoiceField(
        [ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED],
    )
    error = ErrorField(required=False, allow_null=True)

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        if value.get("error") is not None and value.get("status") == ExecutionStatus.COMPLETED:
            errors["error"] = invalid("Goes with the status failed or cancelled.")


@dataclass
class Callback:
    """What its events tell, as far as it is known."""

    webhook_id: str
    object: str
    execution_id: UUID | None = None

    def tell(self, action: str, **changes: Any) -> None:
        told = {"webhookId": self.webhook_id, **changes}
        record(ACTOR, action, self.object, told, execution_id=self.execution_id)


@api_view(["POST"])
@authentication_classes([Signature])
@permission_classes([])
def update_step(request: Request) -> Response:
    with _refusals_told(request) as callback:
        value = _read(StepUpdate, request)
        execution = find_execution(value["execution_id"])
        step = find_step(execution, value.get("step_id"), value.get("step_index"))
        callback.object, callback.execution_id = f"step:{step.pk}", execution.pk
        answer = _answer(value)
        if not _take_effect(
            callback,
            lambda: engine.answer(execution.pk, step.pk, answer, actor=ACTOR),
            status=value["status"],
            refusal="The step does not wait for this answer: its attempt is over, or the callbackToken is not its own.",
        ):
            return _duplicate()
    step.refresh_from_db()
    return Response(StepSerializer(describe_step(step)).data)


@api_view(["POST"])
@authentication_classes([Signature])
@permission_classes([])
def update_execution(request: Request) -> Response:
    with _refusals_told(request) as callback:
        value = _read(ExecutionUpdate, request)
        execution = find_execution(value["execution_id"])
        callback.object, callback.execution_id = f"job:{execution.pk}", execution.pk
        change, refusal = _ending(execution, value["status"], value.get("error"))
        if not _take_effect(callback, change, status=value["status"], refusal=refusal):
            return _duplicate()
    execution.refresh_from_db()
    return Response(detail(execution))


def _answer(value: dict[str, Any]) -> Answer:
    progress, message = value.get("progress"), value.get("message")
    has_failed = value["status"] == StepStatus.FAILED
    return Answer(
        status=StepStatus(value["status"]),
        token=value.get("token"),
        progress=None if progress is None else int(progress),
        message=None if message is None else message[:MAX_MESSAGE],
        output=value.get("output"),
        error=(value.get("error") or FAILURE) if has_failed else None,
    )


def _ending(execution: WorkflowExecution, status: str, error: StepError | None) -> tuple[Callable[[], bool], str]:
    """What to do, and what to say where it cannot be done."""
    if status == ExecutionStatus.COMPLETED:
        return (
            lambda: execution.status == ExecutionStatus.COMPLETED,
            "Not every step of the job is done: a job completes by its steps.",
        )
    ended = "The job has ended already."
    if status == ExecutionStatus.FAILED:
        failure = _as_json(execution, error or FAILURE)
        return lambda: engine.fail(execution.pk, failure, actor=ACTOR), ended
    cause = _as_json(execution, error) if error else None
    return lambda: engine.cancel(execution.pk, actor=ACTOR, error=cause), ended


def _as_json(execution: WorkflowExecution, error: StepError) -> dict[str, Any]:
    """Without the secrets that its outside workers were sent."""
    outside = [tool.slug for tool in tools.all_tools() if tool.is_answered_outside]
    sent = secrets.known_values(list(execution.steps.filter(tool__in=outside).values_list("arguments", flat=True)))
    return {"code": error.code, "message": secrets.redact(error.message, sent), "retryable": error.retryable}


def _take_effect(callback: Callback, change: Callable[[], bool], *, status: str, refusal: str) -> bool:
    """False where the `webhook-id` was seen before. Raises Conflict where the change is not possible."""
    with transaction.atomic():
        if not SeenWebhook.remember(callback.webhook_id):
            callback.tell("callback.duplicate", status=status)
            return False
        if not change():
            raise Conflict(refusal, code="wrong_state")
        callback.tell("callback.accepted", status=status)
    return True


def _duplicate() -> Response:
    return Response({"duplicate": True})


def _read(serializer: type[StrictSerializer], request: Request) -> dict[str, Any]:
    checked = serializer(data=request.data)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


@contextmanager
def _refusals_told(request: Request) -> Iterator[Callback]:
    """Outside the transaction that a refusal rolls back."""
    callback = Callback(str(request.auth), f"path:{request.path}")
    try:
        yield callback
    except (APIException, Http404) as error:
        status = error.status_code if isinstance(error, APIException) else 404
        callback.tell("callback.refused", code=status, reason=_reason(error))
        request._request.is_refusal_told = True  # type: ignore[attr-defined]
        raise


def _tell_of_stranger(request: Request, reason: str) -> None:
    """Nothing of the body is believed, and no more told than of other strangers."""
    request._request.is_refusal_told = True  # type: ignore[attr-defined]
    if strangers.spend():
        told = {"webhookId": request.headers.get("webhook-id", "")[: webhooks.MAX_ID], "code": 401, "reason": reason}
        record(None, "callback.refused", f"path:{request.path}", told)


def _reason(error: Exception) -> str:
    detail = getattr(error, "detail", str(error))
    return (detail if isinstance(detail, str) else json.dumps(detail))[:500]
