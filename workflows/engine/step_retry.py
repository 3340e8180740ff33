"""The verb that retries one step of a finished job, with the steps that it needs and those that follow it."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from workflows.engine.query import rows_of
from workflows.engine.settling import lock
from workflows.engine.steer_job import retry_steps
from workflows.models import RETRYABLE_STEP, StepStatus

STEPS = "SELECT index, id, status, depends_on FROM workflow_steps WHERE execution_id = %(execution)s"


@dataclass(frozen=True, slots=True)
class _Step:
    id: UUID
    status: str
    depends_on: list[int]

    @property
    def is_completed(self) -> bool:
        return self.status == StepStatus.COMPLETED


@transaction.atomic
def retry_step(execution: UUID, step: UUID, *, actor: str) -> bool:
    """Runs a failed, skipped or cancelled step again. False if the step or its job is not in a state that allows it.

    The steps before it that are not completed run too, and so do later steps whose dependencies are then complete.
    """
    lock([execution])
    # Read under the lock: what is chosen here must still hold when `retry_steps` changes it.
    steps = {index: _Step(*rest) for index, *rest in rows_of(STEPS, execution=execution)}
    chosen = [index for index, each in steps.items() if each.id == step and each.status in RETRYABLE_STEP]
    if not chosen:
        return False
    again = _needed_by(steps, chosen[0])
    _add_what_follows(steps, again)
    return retry_steps(execution, [steps[index].id for index in again], actor=actor)


def _needed_by(steps: Mapping[int, _Step], chosen: int) -> set[int]:
    """The step itself, and all steps before it that are not completed."""
    needed, waiting = {chosen}, [chosen]
    while waiting:
        parents = steps[waiting.pop()].depends_on
        fresh = {parent for parent in parents if not steps[parent].is_completed} - needed
        needed |= fresh
        waiting += fresh
    return needed


def _add_what_follows(steps: Mapping[int, _Step], again: set[int]) -> None:
    """Leaves out steps that also depend on a step that stays failed or cancelled."""
    children = defaultdict(list)
    for index, step in steps.items():
        for parent in step.depends_on:
            children[parent].append(index)
    waiting = list(again)
    while waiting:
        for child in children[waiting.pop()]:
            parents = steps[child].depends_on
            if child not in again and all(parent in again or steps[parent].is_completed for parent in parents):
                again.add(child)
                waiting.append(child)
