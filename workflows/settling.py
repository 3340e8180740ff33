"""The first and the last part of every verb: the lock, and what follows from the steps' new states."""

from collections.abc import Collection, Iterable, Mapping, Sequence
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
    return (yield from settle_ended(dict.fromkeys(executions, (0, 0, 0)), actor=actor))


def settle_ended(ended: Mapping[UUID, Sequence[int]], *, actor: str) -> Part[list[Note]]:
    """The same, where so many steps of each execution have completed, failed and finished."""
    if not ended:
        return []
    rows = yield [
        Query(
            sql.SETTLE,
            {"execution": execution, "ended": list(numbers), "message": message_for(execution), "actor": actor},
        )
        for execution, numbers in ended.items()
    ]
    return [Note(WAKE, slot) for ((slot,),) in rows if slot is not None]


def unsend(messages: list[tuple[UUID, int]]) -> Query:
    return Query(
        sql.UNSEND,
        {
            "executions": [execution for execution, _ in messages],
            "messages": [message for _, message in messages],
        },
    )


def events(actor: str, happened: list[Event], *, noun: str = "job") -> Query:
    return Query(
        sql.EVENTS,
        {
            "actor": actor,
            "actions": [action for action, _, _ in happened],
            "objects": [f"{noun}:{execution}" for _, execution, _ in happened],
            "executions": [execution for _, execution, _ in happened],
            "changes": [Jsonb(changes) for _, _, changes in happened],
        },
    )
