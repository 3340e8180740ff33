"""The verb that stores a job."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from aiworkstation import tracing
from aiworkstation.ids import uuid7
from workflows.django_q.messages import message_for
from workflows.engine.new_jobs import NewExecution, NewStep
from workflows.engine.notifications import notify, wake
from workflows.engine.query import rows_of
from workflows.engine.stored_json import dump
from workflows.tools import slot_of

START = "SELECT workflow_start(%(new)s::jsonb, %(steps)s::jsonb, %(message)s::text, %(actor)s::text)"


def start(new: NewExecution, *, actor: str) -> UUID:
    """Stores a job with its steps and its message, and wakes a worker. Joins the caller's transaction, if there is one.

    It is one statement, so it opens no transaction of its own: that saves the round trips of BEGIN and COMMIT.
    """
    # Made here, not by the database: the message must name the job, and both are written by one statement.
    execution = uuid7()
    dependents = _dependents(new.steps)
    first_tool = next((step.tool for step in new.steps if not step.depends_on), "")
    about = {"aiworkstation.job.id": str(execution), "aiworkstation.job.type": new.job_type}
    with tracing.span(f"job {new.job_type}", "producer", {**about, "aiworkstation.job.steps": len(new.steps)}):
        rows_of(
            START,
            new=dump(_execution_fields(execution, new, first_tool)),
            steps=dump([_step_fields(step, dependents[index]) for index, step in enumerate(new.steps)]),
            message=message_for(execution),
            actor=actor,
        )
    # Nobody is woken for a delayed job. Idle runners look at the queue every two seconds and then know when it is due.
    if new.delay <= 0:
        notify(wake([slot_of(first_tool)]))
    return execution


def _dependents(steps: Sequence[NewStep]) -> list[list[int]]:
    """For each step the indexes of the steps that depend on it."""
    dependents: list[list[int]] = [[] for _ in steps]
    for index, step in enumerate(steps):
        for parent in step.depends_on:
            dependents[parent].append(index)
    return dependents


def _execution_fields(execution: UUID, new: NewExecution, first_tool: str) -> dict[str, Any]:
    return {
        "execution": str(execution),
        "owner": new.owner_id,
        "job_type": new.job_type,
        "name": new.name,
        "description": new.description,
        "mode": new.mode,
        "model_id": new.model_id,
        "project_id": new.project_id,
        "tags": new.tags,
        "payload": new.payload,
        "queue": new.queue,
        "max_parallel": new.max_parallel,
        "tolerates_failures": new.tolerates_failures,
        "delay": new.delay,
        "next_tool": first_tool,
        "next_slot": slot_of(first_tool),
        "workflow_id": None if new.workflow_id is None else str(new.workflow_id),
        "workflow_name": new.workflow_name,
        "workflow_version": new.workflow_version,
        "traceparent": tracing.traceparent(),
    }


def _step_fields(step: NewStep, dependents: list[int]) -> dict[str, Any]:
    return {
        # In rising order, so that the steps of a job are neighbours in the primary key's index.
        "id": str(uuid7()),
        "name": step.name,
        "description": step.description,
        "tool": step.tool,
        "slot": slot_of(step.tool),
        "arguments": step.arguments,
        "depends_on": step.depends_on,
        "dependents": dependents,
        "max_attempts": step.max_attempts,
        "timeout_seconds": step.timeout_seconds,
    }
