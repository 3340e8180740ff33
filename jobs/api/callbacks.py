"""Callbacks from outside workers. They are authenticated by their signature, as Standard Webhooks describes.

1. The signature and its timestamp are checked before anything is read: 401.
2. One transaction stores the `webhook-id`, changes the step or the job, and writes the audit event. So a crash neither
   loses nor repeats a callback. An id that is stored already is answered with 200, `{"duplicate": true}`.
3. A refused callback changes nothing, and its id is not stored. It leaves the event `callback.refused`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import F
from django.http import Http404
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.exceptions import APIException, AuthenticationFailed, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from aiworkstation.audit.record import record
from aiworkstation.audit.refused_requests import anonymous_events
from aiworkstation.audit.requests import AuditedRequest
from aiworkstation.web.errors import Conflict
from aiworkstation.web.serializers import (
    Choice,
    Errors,
    Integer,
    Name,
    Number,
    StrictSerializer,
    Text,
    invalid,
    read_body,
)
from jobs.api.views import step_json
from jobs.lookup import find_execution, find_step
from workflows import engine, tools
from workflows.engine.outside_answers import Answer, Reception
from workflows.errors import StepError
from workflows.models import ExecutionStatus, SeenWebhook, StepQuerySet, StepStatus, WorkflowExecution, WorkflowStep
from workflows.network import outside_workers, secrets, webhooks

Signed = tuple[webhooks.SignedMessage, outside_workers.Sender]
ACTOR = "outside worker"
MAX_MESSAGE = 500
MAX_ERROR = 10_000
DUPLICATE = {"duplicate": True}
NOT_WAITING = "The step is not waiting for this answer: its attempt is over, or the callbackToken is for another."
FAILURE = StepError("The outside worker reported a failure without an error.", code="external_failed")


class Signature(BaseAuthentication):
    """Authenticates an outside worker, not a user. `request.auth` is its `SignedMessage` and the `Sender`."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Signed]:
        try:
            return AnonymousUser(), outside_workers.verified(request.headers, request._request.body)
        except webhooks.BadSignature as error:
            _record_bad_signature(request, str(error))
            raise AuthenticationFailed(str(error), code="bad_signature") from error

    def authenticate_header(self, request: Request) -> str:
        return 'StandardWebhooks realm="callbacks"'


class ErrorObject(StrictSerializer):
    code = Name(max_length=100, default=FAILURE.code)
    message = Name(max_length=MAX_ERROR)
    retryable = serializers.BooleanField(default=True)


class ErrorField(serializers.Field[StepError, Any, Any, Any]):
    """An error object, or only its message."""

    def to_internal_value(self, data: Any) -> StepError:
        checked = ErrorObject(data=data if isinstance(data, Mapping) else {"message": data})
        checked.is_valid(raise_exception=True)
        value = checked.validated_data
        return StepError(value["message"], code=value["code"], retryable=value["retryable"])


class StepUpdate(StrictSerializer):
    executionId = Text(source="execution_id")
    stepId = Text(required=False, allow_null=True, source="step_id")
    stepIndex = Integer(min_value=0, max_value=2**31 - 1, required=False, allow_null=True, source="step_index")
    callbackToken = Text(required=False, allow_null=True, source="token")
    status = Choice([StepStatus.RUNNING, StepStatus.COMPLETED, StepStatus.FAILED])
    progress = Number(min_value=0, max_value=100, required=False, allow_null=True)
    message = Text(required=False, allow_null=True, allow_blank=True)
    output = serializers.JSONField(required=False, allow_null=True)
    error = ErrorField(required=False, allow_null=True)

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        status = value.get("status")
        if value.get("step_id") is None and value.get("step_index") is None:
            errors.setdefault("stepId", invalid("Name the step: stepId or stepIndex is required.", "required"))
        if value.get("output") is not None and status != StepStatus.COMPLETED:
            errors["output"] = invalid("Only the status completed takes an output.")
        if value.get("error") is not None and status != StepStatus.FAILED:
            errors["error"] = invalid("Only the status failed takes an error.")


class ExecutionUpdate(StrictSerializer):
    executionId = Text(source="execution_id")
    status = Choice(
        [ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED],
    )
    callbackToken = Text(required=False, allow_null=True, source="token")
    error = ErrorField(required=False, allow_null=True)

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        if value.get("error") is not None and value.get("status") == ExecutionStatus.COMPLETED:
            errors["error"] = invalid("Only the statuses failed and cancelled take an error.")


def _message_of(request: Request) -> webhooks.SignedMessage:
    return cast(Signed, request.auth)[0]


def _sender_of(request: Request) -> outside_workers.Sender:
    return cast(Signed, request.auth)[1]


def _own_steps(execution: WorkflowExecution, sender: outside_workers.Sender) -> list[WorkflowStep]:
    """Returns the sender's steps of the job. Raises Http404 if there are none, to show nothing of other jobs."""
    steps = _outside_steps(execution).defer("output", "arguments").order_by("index")
    owned = sender.own(steps.annotate(worker_name=F("arguments__worker"), worker_url=F("arguments__url")))
    if not owned:
        raise Http404("There is no such job.")
    return owned


def _outside_steps(execution: WorkflowExecution) -> StepQuerySet:
    outside = [tool.slug for tool in tools.all_tools() if tool.is_answered_outside]
    return WorkflowStep.objects.filter(execution=execution, tool__in=outside)


@dataclass
class Callback:
    """What is known of a callback, for its audit events."""

    webhook_id: str
    object: str
    execution_id: UUID | None = None

    def record(self, action: str, **changes: Any) -> None:
        record(ACTOR, action, self.object, {"webhookId": self.webhook_id, **changes}, execution_id=self.execution_id)


@api_view(["POST"])
@authentication_classes([Signature])
@permission_classes([])
def update_step(request: Request) -> Response:
    with _recorded_refusals(request) as callback:
        value = read_body(StepUpdate, request)
        execution = find_execution(value["execution_id"])
        sender = _sender_of(request)
        own = {step.pk for step in _own_steps(execution, sender)}
        step = find_step(execution, value.get("step_id"), value.get("step_index"))
        callback.object, callback.execution_id = f"step:{step.pk}", execution.pk
        if step.pk not in own and sender.needs_token:
            raise Http404("The job has no such step.")
        if step.pk not in own:
            raise Conflict(NOT_WAITING, code="wrong_state")
        if sender.needs_token and value.get("token") is None:
            raise ValidationError({"callbackToken": invalid("Send the callbackToken of the task.", "required")})
        answer = _answer(value, _message_of(request).signed_at)
        if not _take_effect(
            callback,
            lambda: engine.answer(execution.pk, step.pk, answer, actor=ACTOR),
            status=value["status"],
            refusal=NOT_WAITING,
        ):
            return Response(DUPLICATE)
    return Response(step_json(find_step(execution, str(step.pk), None)))


@api_view(["POST"])
@authentication_classes([Signature])
@permission_classes([])
def update_execution(request: Request) -> Response:
    with _recorded_refusals(request) as callback:
        value = read_body(ExecutionUpdate, request)
        execution = find_execution(value["execution_id"])
        own = _own_steps(execution, _sender_of(request))
        callback.object, callback.execution_id = f"job:{execution.pk}", execution.pk
        step = _step_of_token(own, value.get("token"), needs_token=_sender_of(request).needs_token)
        change, refusal = _final_change(execution, value["status"], value.get("error"))
        if not _take_effect(callback, change, status=value["status"], refusal=refusal):
            return Response(DUPLICATE)
    if step is not None:
        return Response(step_json(find_step(execution, str(step.pk), None)))
    execution.refresh_from_db()
    # Only what the callback has set, because the worker may not see the rest of the job.
    state = {"jobId": str(execution.pk), "status": execution.status, "isFinished": execution.is_finished}
    return Response(state | {"error": execution.error})


def _step_of_token(own: list[WorkflowStep], token: str | None, *, needs_token: bool) -> WorkflowStep | None:
    """The step whose present attempt has this callback token."""
    if token is None:
        if needs_token:
            raise ValidationError({"callbackToken": invalid("Send the callbackToken of the task.", "required")})
        return None
    for step in own:
        if webhooks.is_callback_token(token, step.pk, step.attempt):
            return step
    raise Conflict("The callbackToken belongs to no step of this job that you have.", code="wrong_state")


def _answer(value: dict[str, Any], signed_at: datetime) -> Answer:
    progress, message = value.get("progress"), value.get("message")
    has_failed = value["status"] == StepStatus.FAILED
    return Answer(
        status=StepStatus(value["status"]),
        signed_at=signed_at,
        token=value.get("token"),
        progress=None if progress is None else int(progress),
        message=None if message is None else message[:MAX_MESSAGE],
        output=value.get("output"),
        error=(value.get("error") or FAILURE) if has_failed else None,
    )


def _final_change(
    execution: WorkflowExecution, status: str, error: StepError | None
) -> tuple[Callable[[], Reception], str]:
    """Returns the change, and the refusal if it is not possible."""
    if status == ExecutionStatus.COMPLETED:
        return (
            lambda: _accepted_if(execution.status == ExecutionStatus.COMPLETED),
            "Some steps of the job are not completed. A job is completed by its last step.",
        )
    refusal = "The job is finished already."
    if status == ExecutionStatus.FAILED:
        failure = _error_json(execution, error or FAILURE)
        return lambda: _accepted_if(engine.fail(execution.pk, failure, actor=ACTOR)), refusal
    cause = _error_json(execution, error) if error else None
    return lambda: _accepted_if(engine.cancel(execution.pk, actor=ACTOR, error=cause)), refusal


def _accepted_if(done: bool) -> Reception:
    return Reception.ACCEPTED if done else Reception.REFUSED


def _error_json(execution: WorkflowExecution, error: StepError) -> dict[str, Any]:
    """Leaves out the secrets that the job's outside workers were sent."""
    sent = secrets.known_values(list(_outside_steps(execution).values_list("arguments", flat=True)))
    return {"code": error.code, "message": secrets.redact(error.message, sent), "retryable": error.retryable}


def _take_effect(callback: Callback, change: Callable[[], Reception], *, status: str, refusal: str) -> bool:
    """Returns False if the `webhook-id` was seen before. Raises Conflict if the change is not possible."""
    # The id is stored together with its effect. If the change fails, the sender may repeat the message.
    with transaction.atomic():
        if not SeenWebhook.remember(callback.webhook_id):
            callback.record("callback.duplicate", status=status)
            return False
        reception = change()
        if reception == Reception.REFUSED:
            raise Conflict(refusal, code="wrong_state")
        callback.record(f"callback.{reception}", status=status)
    return True


@contextmanager
def _recorded_refusals(request: Request) -> Iterator[Callback]:
    """Records a refusal outside the transaction, which the refusal rolls back."""
    callback = Callback(_message_of(request).id, f"path:{request.path}")
    try:
        yield callback
    except (APIException, Http404) as error:
        status = error.status_code if isinstance(error, APIException) else 404
        callback.record("callback.refused", code=status, reason=_reason(error))
        _mark_refusal_recorded(request)
        raise


def _record_bad_signature(request: Request, reason: str) -> None:
    """Records nothing of the body, and no more events than of other anonymous callers."""
    _mark_refusal_recorded(request)
    if anonymous_events.spend("callback.refused"):
        changes = {"webhookId": request.headers.get("webhook-id", "")[: webhooks.MAX_ID], "code": 401, "reason": reason}
        record(None, "callback.refused", f"path:{request.path}", changes)


def _mark_refusal_recorded(request: Request) -> None:
    cast(AuditedRequest, request._request).is_refusal_recorded = True


def _reason(error: Exception) -> str:
    detail = getattr(error, "detail", str(error))
    return (detail if isinstance(detail, str) else json.dumps(detail))[:500]
