"""Runs a finished job again as a new job, from the beginning or from one of its steps.

The new job has the options of the first one, and its payload or another one. The steps that neither are the chosen step
nor depend on it take over their outputs, if they completed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from aiworkstation.access.lookup import as_uuid
from aiworkstation.web.errors import Conflict
from aiworkstation.web.serializers import JsonObject, StrictSerializer, invalid
from jobs.job_input import remember_input
from jobs.job_type import JobType, find_job_type
from jobs.start import labels_beside_payload, new_execution, take_room_for_payload, within_quota
from workflows import engine, model_usage
from workflows.model_usage import Usage, usage_of_sums
from workflows.models import LargeJson, StepStatus, WorkflowExecution, WorkflowStep
from workflows.steps import NewExecution, NewStep

# A step that took over its output names the step that caused the usage.
_REUSED = f"""
SELECT {model_usage.SUMS}
FROM workflow_steps WHERE id IN (SELECT coalesce(copied_from, id) FROM workflow_steps WHERE id = ANY(%s))
"""


class FromStepField(serializers.Field[str | int, Any, Any, Any]):
    """A step of the job: its id, its name or its index."""

    default_error_messages = {"invalid": "Name a step of the job by its id, its name or its index."}

    def to_internal_value(self, data: Any) -> str | int:
        if isinstance(data, bool) or not isinstance(data, str | int):
            self.fail("invalid")
        return data


class RerunRequest(StrictSerializer):
    """The body of `POST /api/jobs/<jobId>/rerun`."""

    fromStep = FromStepField(required=False, allow_null=True, source="from_step")
    payload = JsonObject(required=False, allow_null=True)


@dataclass(frozen=True, slots=True)
class Rerun:
    """A rerun that may start. `copies` are the steps whose outputs it takes over, by index."""

    source: UUID
    new: NewExecution
    copies: dict[int, UUID]
    reused: dict[str, Any]
    job_type: JobType
    payload: dict[str, Any]


def plan_rerun(execution: WorkflowExecution, value: Mapping[str, Any]) -> Rerun:
    """`value` is a validated RerunRequest. Raises ValidationError, and Conflict if the job is not finished."""
    if not execution.is_finished:
        raise Conflict("Only a finished job can be run again.", code="wrong_state")
    job_type = find_job_type(execution.job_type)
    if job_type is None:
        raise Conflict(f"Jobs of the type {execution.job_type} cannot be run again.", code="wrong_type")
    body = value.get("payload")
    raw = execution.payload if body is None else body
    payload = job_type.Payload(data=raw, context={"user": execution.owner})
    if not payload.is_valid():
        raise ValidationError({"payload": payload.errors})
    new = new_execution(execution.owner, job_type, payload.validated_data, raw)
    _keep_options(execution, new)
    if body is None:
        new.workflow_id, new.workflow_name = execution.workflow_id, execution.workflow_name
        new.workflow_version = execution.workflow_version
    copies = _copies(execution, new, value["from_step"]) if value.get("from_step") is not None else {}
    return Rerun(execution.pk, new, copies, _reused(copies), job_type, payload.validated_data)


@transaction.atomic
def start_rerun(rerun: Rerun, *, actor: str) -> UUID:
    """Returns the id of the new job. Raises Conflict if the job was retried meanwhile."""
    started = engine.rerun(rerun.source, rerun.new, rerun.copies, reused=rerun.reused, actor=actor)
    if started is None:
        raise Conflict("Only a finished job can be run again.", code="wrong_state")
    take_room_for_payload(started, rerun.new)
    with within_quota():
        _take_room_for_copies(rerun, started)
    rerun.job_type.stored(started, rerun.payload)
    remember_input(started, rerun.new.payload)
    return started


def _take_room_for_copies(rerun: Rerun, started: UUID) -> None:
    sizes = dict(LargeJson.objects.filter(pk__in=rerun.copies.values()).values_list("pk", "size"))
    steps = dict(WorkflowStep.objects.filter(execution_id=started).values_list("index", "pk")) if sizes else {}
    for index, old in rerun.copies.items():
        if old in sizes:
            LargeJson.take_room(rerun.new.owner_id, started, steps[index], sizes[old])


def reused_text(reused: Mapping[str, Any]) -> str:
    """What a rerun takes over, in words. Empty if it takes over nothing."""
    steps = reused["steps"]
    if not steps:
        return ""
    usage = Usage(reused["inputTokens"], reused["outputTokens"], reused["costUsd"])
    return f"{steps} step{'' if steps == 1 else 's'}" + (f" ({usage.text})" if usage.text else "")


def _keep_options(execution: WorkflowExecution, new: NewExecution) -> None:
    """As at the start, tags beside the payload follow its own ones, and a project there replaces its own."""
    tags, project_id = labels_beside_payload(execution, execution.payload)
    new.queue, new.max_parallel = execution.queue, execution.max_parallel
    new.tags = list(dict.fromkeys([*new.tags, *tags]))
    new.project_id = project_id or new.project_id


def _copies(execution: WorkflowExecution, new: NewExecution, from_step: str | int) -> dict[int, UUID]:
    steps = list(WorkflowStep.objects.filter(execution=execution).defer("output").order_by("index"))
    chosen = _chosen(steps, from_step)
    if find_job_type(execution.job_type).lists_files:  # type: ignore[union-attr]
        raise ValidationError({"fromStep": invalid("The steps of this job do not follow one another: retry a step.")})
    if chosen >= len(new.steps):
        raise ValidationError({"fromStep": invalid("The new payload has no such step.")})
    behind = _behind(new.steps, chosen)
    copies: dict[int, UUID] = {}
    errors: dict[str, Any] = {}
    for index, step in enumerate(new.steps):
        if index in behind:
            continue
        old = steps[index] if index < len(steps) else None
        if old is None or old.status != StepStatus.COMPLETED:
            continue
        if _is_same(old, step):
            copies[index] = old.pk
        else:
            errors[str(index)] = invalid("Differs from the step of the first job, whose output it would take over.")
    if errors:
        raise ValidationError({"payload": {"steps": errors}})
    return copies


def _chosen(steps: list[WorkflowStep], from_step: str | int) -> int:
    """Returns the index of the step."""
    if isinstance(from_step, int):
        found = [step.index for step in steps if step.index == from_step]
    else:
        key = as_uuid(from_step)
        found = [step.index for step in steps if step.pk == key or step.name == from_step.strip()]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValidationError({"fromStep": invalid("Several steps have this name: use the id or the index.")})
    raise ValidationError({"fromStep": invalid("The job has no such step.", "unknown")})


def _behind(steps: list[NewStep], chosen: int) -> set[int]:
    """The step itself, and all that depend on it, directly or not."""
    behind = {chosen}
    size = 0
    while size < len(behind):
        size = len(behind)
        behind |= {index for index, step in enumerate(steps) if behind.intersection(step.depends_on)}
    return behind


def _is_same(old: WorkflowStep, new: NewStep) -> bool:
    """Arguments that a model chose are no part of the definition."""
    arguments = None if old.tool and old.model else old.arguments
    return (old.name, old.description, old.tool, arguments, sorted(old.depends_on)) == (
        new.name,
        new.description,
        new.tool,
        new.arguments,
        sorted(new.depends_on),
    )


def _reused(copies: Mapping[int, UUID]) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(_REUSED, [list(copies.values())])
        usage = usage_of_sums(*cursor.fetchone())
    return {
        "steps": len(copies),
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "costUsd": usage.cost,
    }
