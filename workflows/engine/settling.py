"""The first and the last part of every verb: lock the executions, then bring them in line with their steps."""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from workflows.django_q.messages import message_for
from workflows.engine.notifications import notify, wake
from workflows.engine.query import rows_of

LOCK = "SELECT id FROM workflow_executions WHERE id = ANY(%(executions)s::uuid[]) ORDER BY id FOR UPDATE"

SETTLE = """
SELECT workflow_settle(
  %(executions)s::uuid[], %(statuses)s::text[], '{}', %(messages)s::json, %(actor)s::text)
"""

EVENTS = """
INSERT INTO audit_events (actor, action, object, execution_id, changes)
SELECT %(actor)s, action, object, execution, changes
FROM unnest(%(actions)s::text[], %(objects)s::text[], %(executions)s::uuid[], %(changes)s::jsonb[])
  AS given(action, object, execution, changes)
"""

Event = tuple[str, UUID, dict[str, Any]]
"""What happened (`job.cancelled`), to which job, and what changed."""


def lock(executions: Collection[UUID]) -> None:
    """Locks executions until the transaction ends, in the order of their ids, so that verbs cannot deadlock."""
    # A statement of its own: PostgreSQL shows a statement what was committed when it began. So the caller's next
    # statement sees everything that was written before the lock was free.
    rows_of(LOCK, executions=list(executions))


def lock_free(executions: Collection[UUID]) -> list[UUID]:
    """Locks the executions that nobody else has locked, and returns them.

    For maintenance: waiting here could mean waiting for a worker that is frozen inside its transaction.
    """
    return [row[0] for row in rows_of(f"{LOCK} SKIP LOCKED", executions=list(executions))]


def settle(executions: Iterable[UUID], *, actor: str) -> None:
    """Brings executions in line with their steps, if none of these has ended, and wakes workers for what is due."""
    named = list(executions)
    settle_ended(named, [None] * len(named), actor=actor)


def settle_ended(executions: Sequence[UUID], statuses: Sequence[str | None], *, actor: str) -> None:
    """Like `settle`, for finished steps: one entry for each, with its execution and its status."""
    if not executions:
        return
    ((slots,),) = rows_of(
        SETTLE,
        executions=list(executions),
        statuses=list(statuses),
        messages=messages_for(executions),
        actor=actor,
    )
    notify(wake(slots))


def messages_for(executions: Iterable[UUID]) -> str:
    """JSON: the payload of a message for each execution, by its id."""
    return json.dumps({str(execution): message_for(execution) for execution in executions})


def record_events(actor: str, happened: Sequence[Event]) -> None:
    """Writes audit events of jobs. The events of steps are written by the statements that change the steps."""
    rows_of(
        EVENTS,
        actor=actor,
        actions=[action for action, _, _ in happened],
        objects=[f"job:{execution}" for _, execution, _ in happened],
        executions=[execution for _, execution, _ in happened],
        changes=[Jsonb(changes) for _, _, changes in happened],
    )
