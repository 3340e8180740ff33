"""Answers to steps that wait for a person: who may give one, and what it may contain."""

from collections.abc import Mapping
from typing import Any, Literal

from django.contrib.auth.models import User
from django.http import Http404
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from aiworkstation.access.lookup import as_uuid
from aiworkstation.access.not_yours import NotYours
from aiworkstation.web.errors import Conflict
from aiworkstation.web.serializers import Errors, StrictSerializer, Text, invalid
from jobs.payloads.tool_arguments import argument_errors
from workflows import engine
from workflows.engine.approvals import PersonalAnswer
from workflows.models import WorkflowStep
from workflows.network import secrets
from workflows.tools.approval import Approval

Decision = Literal["approved", "rejected"]
MAX_COMMENT = 2000


class RejectionBody(StrictSerializer):
    """The body of `…/reject`."""

    comment = Text(required=False, allow_null=True, allow_blank=True, max_length=MAX_COMMENT)


class ApprovalBody(RejectionBody):
    """The body of `…/approve`. `arguments` replace those that were shown."""

    arguments = serializers.JSONField(required=False, allow_null=True)


def get_step_to_answer(user: User, job_id: str, step_id: str) -> WorkflowStep:
    """Raises Http404 if there is no such step, and NotYours, which looks the same, if `user` may not answer it.

    Users find any step of their own job. If it waits for no answer, answering it is a conflict.
    """
    job, key = as_uuid(str(job_id)), as_uuid(str(step_id))
    rows = WorkflowStep.objects.filter(pk=key, execution=job).defer("output") if job and key else None
    step = rows.first() if rows is not None else None
    if rows is None or step is None:
        raise Http404("The job has no such step.")
    if not (rows.visible_to(user).exists() or rows.answerable_by(user).exists()):
        raise NotYours(f"step:{key}")
    return step


def answer_step(step: WorkflowStep, user: User, decision: Decision, given: Mapping[str, Any]) -> None:
    """Records the answer. `given` is a validated body.

    Raises ValidationError if the arguments do not fit, and Conflict if the step waits for no answer.
    """
    arguments = given.get("arguments")
    if arguments is not None and step.approval is not None and (errors := _argument_errors(step, arguments)):
        raise ValidationError({"arguments": errors})
    name = user.get_username()
    answer = PersonalAnswer(decision, name, given.get("comment") or "", arguments)
    if not engine.answer_approval(step.execution_id, step.pk, answer, actor=name):
        raise Conflict("The step waits for no answer: it was answered, or its time is up.", code="wrong_state")


def _argument_errors(step: WorkflowStep, arguments: Any) -> Errors | list[Any]:
    if step.tool == Approval.slug:
        return {}
    if not isinstance(arguments, dict):
        return invalid("Must be a JSON object.")
    if added := secrets.names(arguments) - secrets.names(step.arguments):
        return invalid(f"An answer cannot add secrets: {', '.join(sorted(added))}.", "secret_not_allowed_here")
    return argument_errors(step.tool, arguments)
