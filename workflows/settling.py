"""The first and the last part of every verb: the lock, and what follows from the steps' new states."""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.utils import timezone
from psycopg.types.json import Jsonb

from workflows import statements as sql
from workflows.models import FINISHED_EXECUTION, ExecutionStatus, StepStatus
from workflows.queue.messages import message_for
from workflows.transaction import Note, Part, Query

WAKE = "workflow_wake"
CANCEL = "workflow_cancel"
COOL = "workflow_cooldown"

Event = tuple[str, UUID, dict[str, Any]]
"""What happened to which job, and what changed."""


class Changes(Counter[str]):
    """How many steps of an execution ended, and how."""

    def add(self, status: str, number: int = 1) -> None:
        self[status] += number
        if status in (StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED):
            self["finished"] += number


class Settled(NamedTuple):
    """The columns of statements.SETTLE."""

    execution_id: UUID
    old_status: str
    status: str
    queue: str
    job_type: str
    message_id: int | None
    due: datetime | None
    wake_at: datetime | None

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED_EXECUTION


def lock(executions: Collection[UUID]) -> Query:
    return Query(sql.LOCK, {"executions": list(executions)})


def lock_free(executions: Collection[UUID]) -> Part[list[UUID]]:
    """Locks those that nobody else has locked, and says which."""
    (rows,) = yield [Query(sql.LOCK_FREE, {"executions": list(executions)})]
    return [row[0] for row in rows]


def settle(changes: Mapping[UUID, Changes], *, actor: str, consumed: Collection[UUID] = ()) -> Part[list[Note]]:
    """Brings executions in line with their steps; returns whom to wake.

    A message that was `consumed` by a claim is never used again: a stock cluster deletes it when its task ends.
    """
    if not changes:
        return []
    (rows,) = yield [
        Query(
            sql.SETTLE,
            {
                "executions": list(changes),
                "completed": [change[StepStatus.COMPLETED] for change in changes.values()],
                "failed": [change[StepStatus.FAILED] for change in changes.values()],
                "finished": [change["finished"] for change in changes.values()],
            },
        )
    ]
    settled = [Settled(*row) for row in rows]
    queries, notes = _messages(settled, consumed)
    if happened := [event for row in settled if (event := _event(row))]:
        queries.append(events(actor, happened))
    if queries:
        yield queries
    return notes


def _event(row: Settled) -> Event | None:
    if row.status == row.old_status:
        return None
    if row.is_finished:
        action = f"job.{row.status}"
    elif row.old_status == ExecutionStatus.QUEUED and row.status == ExecutionStatus.RUNNING:
        action = "job.started"
    elif row.status == ExecutionStatus.WAITING:
        action = "job.waiting"
    else:
        return None
    return action, row.execution_id, {"status": row.status, "from": row.old_status, "jobType": row.job_type}


def _messages(settled: list[Settled], consumed: Collection[UUID]) -> tuple[list[Query], list[Note]]:
    """At most one message an execution: sent, moved or taken back."""
    gone: list[tuple[UUID, int]] = []
    sent: list[Settled] = []
    moved: list[Settled] = []
    for row in settled:
        usable = row.message_id is not None and row.execution_id not in consumed
        if row.message_id is not None and (row.wake_at is None or not usable):
            gone.append((row.execution_id, row.message_id))
        if row.wake_at is None:
            continue
        if not usable:
            sent.append(row)
        elif row.due is None or row.wake_at < row.due:
            moved.append(row)
    queries = []
    if gone:
        queries.append(unsend(gone))
    if sent:
        queries.append(_send(sent))
    if moved:
        params = {
            "executions": [row.execution_id for row in moved],
            "messages": [row.message_id for row in moved],
            "due": [row.wake_at for row in moved],
        }
        queries.append(Query(sql.MOVE, params))
    return queries, [Note(WAKE, row.queue) for row in sent + moved]


def _send(rows: list[Settled]) -> Query:
    """Due work goes to the end of its queue: the message's time is now, not when the step became ready."""
    now = timezone.now()
    return Query(
        sql.SEND,
        {
            "executions": [row.execution_id for row in rows],
            "queues": [row.queue for row in rows],
            "payloads": [message_for(row.execution_id) for row in rows],
            "due": [max(row.wake_at, now) if row.wake_at else now for row in rows],
        },
    )


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
