"""The engine's verbs: the only code, with a worker's `turn`, that changes the state of executions and steps.

Every verb is one transaction and keeps to one order:

1. lock the executions, in the order of their ids (a due message is picked with SKIP LOCKED, which never waits);
2. change their steps: an outcome counts only from the holder of the token;
3. claim next steps, where a worker asks for some;
4. settle: bring the execution's row in line with its steps, and its message with what is to be done next.

Nobody changes a step's state without its execution's lock, so what a statement sees after step 1 holds until the
commit. Each change writes its audit event in the same transaction. Notifications are sent after it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

from psycopg.types.json import Jsonb

from aiworkstation.ids import uuid7
from workflows import statements as sql
from workflows.answering import Answer, answering, ending_silence
from workflows.models import ExecutionStatus
from workflows.queue.messages import message_for
from workflows.retry import ALONE_AFTER
from workflows.settling import CANCEL, WAKE, events, lock, lock_free, settle
from workflows.steps import Claim, Held, NewExecution, NewStep, dump
from workflows.tools import slot_of
from workflows.transaction import Note, Query, Verb, run
from workflows.turn import Holder

ENGINE = "engine"


# --- verbs for everybody: on Django's connection


def start(new: NewExecution, *, actor: str) -> UUID:
    """Stores a job with its steps, and the message that wakes a worker up. Joins the caller's transaction."""
    return run(starting(new, actor=actor), is_one_statement=True)


def cancel(execution: UUID, *, actor: str, error: dict[str, Any] | None = None) -> bool:
    """False where the execution had ended. Whoever runs its steps is told, and cuts them off."""
    return run(cancelling(execution, actor=actor, error=error))


def fail(execution: UUID, error: dict[str, Any], *, actor: str) -> bool:
    """As `cancel`, and the job has failed: `error` is its own and that of every step that was cut off."""
    return run(failing(execution, error, actor=actor))


def answer(execution: UUID, step: UUID, given: Answer, *, actor: str) -> bool:
    """What an outside worker says of a step. False where no such attempt waits for it."""
    return run(answering(execution, step, given, actor=actor))


def end_silence(*, actor: str = ENGINE) -> int:
    """Fails the attempts whose outside worker said nothing in time; how many there were."""
    return run(ending_silence(actor=actor))


def retry(execution: UUID, *, actor: str) -> bool:
    """Runs again what failed, was skipped or was cancelled. False where the execution is not in such a state."""
    return run(retrying(execution, actor=actor))


def add_steps(execution: UUID, steps: Mapping[str, NewStep], *, within: Held, actor: str) -> list[UUID]:
    """Adds steps that wait for nothing to a job, on behalf of the step `within`, which runs; those that are new.

    Their keys name them within the job: the same key again, at a later attempt, adds nothing. Nothing is added
    either where the step is no longer held: its lease was lost, or the job cancelled.
    """
    return run(adding(execution, steps, within=within, actor=actor))


def keep_arguments(claim: Claim, arguments: dict[str, Any]) -> None:
    """Commits the arguments that a model chose, before the tool runs: later attempts use them again."""
    run(keeping_arguments(claim, arguments))


def reap(*, actor: str = ENGINE) -> int:
    """Resets the steps whose lease ran out; how many there were. It waits for no lock: the next turn sees the rest."""
    return run(reaping(actor=actor))


def stranded() -> list[UUID]:
    """Executions that break the invariant: unfinished, and nothing will ever wake a worker up for them."""
    return run(_looking())


def sweep(*, actor: str = ENGINE) -> list[UUID]:
    """Gives stranded executions their message back. Finds nothing in normal life."""
    found = stranded()
    return run(resettling(found, actor=actor)) if found else []


# --- the same verbs, and the worker's, as transactions


def starting(new: NewExecution, *, actor: str) -> Verb[UUID]:
    execution = uuid7()
    steps = new.steps
    behind = _dependents(steps)
    first = next((step.tool for step in steps if not step.depends_on), "")
    described = {
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
        "next_tool": first,
        "next_slot": slot_of(first),
    }
    params = {
        "new": dump(described),
        "steps": dump([_described(step, behind[index]) for index, step in enumerate(steps)]),
        "message": message_for(execution),
        "actor": actor,
    }
    yield [Query(sql.START, params)]
    return execution, [] if new.delay > 0 else [Note(WAKE, slot_of(first))]


def _dependents(steps: Sequence[NewStep]) -> list[list[int]]:
    behind: list[list[int]] = [[] for _ in steps]
    for index, step in enumerate(steps):
        for parent in step.depends_on:
            behind[parent].append(index)
    return behind


def _described(step: NewStep, dependents: list[int]) -> dict[str, Any]:
    return {
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


def _json(value: Any) -> Jsonb | None:
    return None if value is None else Jsonb(value)


def cancelling(execution: UUID, *, actor: str, error: dict[str, Any] | None = None) -> Verb[bool]:
    given = {"status": ExecutionStatus.CANCELLED.value, "error": _json(error), "step_error": None}
    return (yield from _ending(execution, given, actor=actor))


def failing(execution: UUID, error: dict[str, Any], *, actor: str) -> Verb[bool]:
    given = {"status": ExecutionStatus.FAILED.value, "error": Jsonb(error), "step_error": Jsonb(error)}
    return (yield from _ending(execution, given, actor=actor))


def _ending(execution: UUID, given: dict[str, Any], *, actor: str) -> Verb[bool]:
    yield [lock([execution])]
    (rows,) = yield [Query(sql.END, {"execution": execution, "actor": actor, **given})]
    if not rows:
        return False, []
    message, job_type = rows[0]
    status = given["status"]
    queries = [events(actor, [(f"job.{status}", execution, {"status": status, "jobType": job_type})])]
    if message is not None:
        queries.append(Query(sql.UNSEND, {"execution": execution, "message": message}))
    yield queries
    return True, [Note(CANCEL, str(execution))]


def retrying(execution: UUID, *, actor: str) -> Verb[bool]:
    yield [lock([execution])]
    (rows,) = yield [Query(sql.RETRY, {"execution": execution, "actor": actor})]
    if not rows:
        return False, []
    yield [events(actor, [("job.retried", execution, {"status": "queued", "jobType": rows[0][0]})])]
    notes = yield from settle([execution], actor=actor)
    return True, notes


def adding(execution: UUID, steps: Mapping[str, NewStep], *, within: Held, actor: str) -> Verb[list[UUID]]:
    if any(step.depends_on for step in steps.values()):
        raise ValueError("steps that are added wait for nothing")
    params = {
        "execution": execution,
        "step": within.step_id,
        "token": within.token,
        "ids": [uuid5(execution, key) for key in steps],
        "names": [step.name for step in steps.values()],
        "descriptions": [step.description for step in steps.values()],
        "tools": [step.tool for step in steps.values()],
        "slots": [slot_of(step.tool) for step in steps.values()],
        "arguments": [_json(step.arguments) for step in steps.values()],
        "max_attempts": [step.max_attempts for step in steps.values()],
        "timeouts": [step.timeout_seconds for step in steps.values()],
    }
    _, rows = yield [lock([execution]), Query(sql.ADD, params)]
    added = [row[0] for row in rows]
    if not added:
        return [], []
    yield [Query(sql.ADDED, {"execution": execution, "count": len(added)})]
    yield [events(actor, [("job.steps_added", execution, {"steps": len(added)})])]
    notes = yield from settle([execution], actor=actor)
    return added, notes


def keeping_arguments(claim: Claim, arguments: dict[str, Any]) -> Verb[bool]:
    params = {"step": claim.step_id, "token": claim.token, "arguments": dump(arguments)}
    (rows,) = yield [Query(sql.KEEP_ARGUMENTS, params)]
    return bool(rows), []


def reaping(*, actor: str) -> Verb[int]:
    (rows,) = yield [Query(sql.EXPIRED, {})]
    executions = (yield from lock_free([row[0] for row in rows])) if rows else []
    if not executions:
        return 0, []
    params = {"executions": executions, "actor": actor, "alone": ALONE_AFTER}
    (reaped,) = yield [Query(sql.REAP, params)]
    notes = yield from settle({row[1] for row in reaped}, actor=actor)
    return len(reaped), notes


def releasing(holder: Holder, tokens: Collection[UUID]) -> Verb[int]:
    """Gives back the steps that the database thinks this worker runs, but for those that it knows of."""
    params = {"worker": holder.id, "tokens": list(tokens)}
    (rows,) = yield [Query(sql.STRAYS, params)]
    executions = [row[0] for row in rows]
    if not executions:
        return 0, []
    params |= {"executions": executions, "actor": holder.name}
    _, released = yield [lock(executions), Query(sql.RELEASE, params)]
    notes = yield from settle({row[1] for row in released}, actor=holder.name)
    return len(released), notes


def _looking() -> Verb[list[UUID]]:
    (rows,) = yield [Query(sql.STRANDED, {})]
    return [row[0] for row in rows], []


def resettling(executions: list[UUID], *, actor: str) -> Verb[list[UUID]]:
    yield [lock(executions)]
    found = [("job.stranded", execution, {"remedy": "its message was put back"}) for execution in executions]
    yield [events(actor, found)]
    notes = yield from settle(executions, actor=actor)
    return executions, notes
