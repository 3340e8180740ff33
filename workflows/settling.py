"""The first and the last part of every verb: the lock, and what follows from the steps' new states."""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from workflows import statements as sql
from workflows.queue.messages import message_for
from workflows.transaction import Note, Part, Query

WAKE = "workflow_wake"
CANCEL = "workflow_cancel"
COOL = "workflow_cooldown"

Event = tuple[str, UUID, dict[str, Any]]
"""What happened to which job, and what changed."""


def lock(executions: Collection[UUID]) -> Query:
    return Query(sql.LOCK, {"executions": list(executions)})


def lock_free(executions: Collection[UUID]) -> Part[list[UUID]]:
    """Locks those that nobody else has locked, and says which."""
    (rows,) = yield [Query(sql.LOCK_FREE, {"executions": list(executions)})]
    return [row[0] for row in rows]


def settle(executions: Iterable[UUID], *, actor: str) -> Part[list[Note]]:
    """Brings executions in line with their steps, where none has ended; returns whom to wake."""
    named = list(executions)
    return (yield from settle_ended(named, [None] * len(named), actor=actor))


def settle_ended(executions: Sequence[UUID], statuses: Sequence[str | None], *, actor: str) -> Part[list[Note]]:
    """The same, where steps have ended: an execution stands there for each of them, with the step's status."""
    if not executions:
        return []
    params = {
        "executions": list(executions),
        "statuses": list(statuses),
        "messages": messages_for(executions),
        "actor": actor,
    }
    (((slots,),),) = yield [Query(sql.SETTLE, params)]
    return [Note(WAKE, slot) for slot in dict.fromkeys(slots)]


def messages_for(executions: Iterable[UUID]) -> str:
    """JSON: the text of a message for each of them, by id."""
    return json.dumps({str(execution): message_for(execution) for execution in executions})


def events(actor: str, happened: list[Event]) -> Query:
    return Query(
        sql.EVENTS,
        {
            "actor": actor,
            "actions": [action for action, _, _ in happened],
            "objects": [f"job:{execution}" for _, execution, _ in happened],
            "executions": [execution for _, execution, _ in happened],
            "changes": [Jsonb(changes) for _, _, changes in happened],
        },
    )
