"""The reaper and the sweep: they give back steps and jobs that nobody works on any more."""

from collections.abc import Collection
from uuid import UUID

from django.db import transaction

from workflows.engine.query import rows_of
from workflows.engine.retry_policy import ALONE_AFTER
from workflows.engine.settling import lock, lock_free, record_events, settle

ENGINE = "engine"
"""The actor of what the engine does by itself."""

EXPIRED = """
SELECT DISTINCT execution_id FROM workflow_steps WHERE status = 'running' AND lease_until < statement_timestamp()
"""

# A lease that ran out is a crash of the worker, not an attempt. A step that runs alone (after two crashes) is not
# charged for the end of its supervisor.
REAP = """
WITH reaped AS (
  UPDATE workflow_steps SET
    status = 'ready', ready_at = clock_timestamp(), token = NULL, lane = NULL, lease_until = NULL,
    repeats_attempt = true, crashes = least(crashes + 1, greatest(crashes, %(alone)s))
  WHERE execution_id = ANY(%(executions)s::uuid[]) AND status = 'running' AND lease_until < statement_timestamp()
  RETURNING id, execution_id, attempt, worker, crashes
), events AS (
  INSERT INTO audit_events (actor, action, object, execution_id, changes)
  SELECT %(actor)s, 'step.lease_lost', 'step:' || id, execution_id,
    jsonb_build_object('status', 'ready', 'attempt', attempt, 'worker', worker, 'crashes', crashes)
  FROM reaped
)
SELECT execution_id FROM reaped
"""

STRAYS = """
SELECT DISTINCT execution_id FROM workflow_steps
WHERE status = 'running' AND worker = %(worker)s AND token <> ALL(%(tokens)s::uuid[])
"""
# The caller is a worker that has just been frozen or cut off, and may be again: nobody should wait long for its locks.
_SHORT_TIMEOUT = "SET LOCAL idle_in_transaction_session_timeout = '5s'"
RELEASE = """
WITH released AS (
  UPDATE workflow_steps SET
    status = 'ready', ready_at = clock_timestamp(), token = NULL, lane = NULL, lease_until = NULL,
    repeats_attempt = true
  WHERE execution_id = ANY(%(executions)s::uuid[]) AND status = 'running' AND worker = %(worker)s
    AND token <> ALL(%(tokens)s::uuid[])
  RETURNING id, execution_id, attempt
), events AS (
  INSERT INTO audit_events (actor, action, object, execution_id, changes)
  SELECT %(actor)s, 'step.returned', 'step:' || id, execution_id,
    jsonb_build_object('status', 'ready', 'attempt', attempt, 'reason', 'answer lost')
  FROM released
)
SELECT execution_id FROM released
"""

# The invariant: an unfinished execution has a leased step, a message, or an answer from outside to wait for.
STRANDED = """
SELECT e.id FROM workflow_executions e
WHERE e.status IN ('queued', 'running', 'waiting')
  AND NOT EXISTS (SELECT FROM django_q_ormq q WHERE q.id = e.message_id)
  AND NOT EXISTS (SELECT FROM workflow_steps s WHERE s.execution_id = e.id AND s.status = 'running')
  AND NOT EXISTS (SELECT FROM workflow_steps s WHERE s.execution_id = e.id AND s.answer_by IS NOT NULL)
"""

# Settling takes a message for granted whose id it knows.
FORGET_LOST_MESSAGES = """
UPDATE workflow_executions e SET message_id = NULL, wake_at = NULL
WHERE e.id = ANY(%(executions)s::uuid[]) AND NOT EXISTS (SELECT FROM django_q_ormq q WHERE q.id = e.message_id)
"""


@transaction.atomic
def reap(*, actor: str = ENGINE) -> int:
    """Makes steps ready again whose lease ran out. Returns how many.

    Executions that are locked are left to the next call: their worker may be alive.
    """
    expired = [row[0] for row in rows_of(EXPIRED)]
    # Found without locks, so that a round in which nothing has expired costs one read of an index.
    executions = lock_free(expired) if expired else []
    if not executions:
        return 0
    reaped = [row[0] for row in rows_of(REAP, executions=executions, actor=actor, alone=ALONE_AFTER)]
    # Only what REAP returned: renewing takes no lock on the job, so a lease may have been renewed since EXPIRED was
    # read.
    settle(set(reaped), actor=actor)
    return len(reaped)


@transaction.atomic
def release_strays(worker: UUID, tokens: Collection[UUID], *, actor: str) -> int:
    """Gives back the steps that the database assigns to this worker, except those with the given tokens.

    A claim strays when its COMMIT went through but the answer did not arrive: nobody runs the step.
    """
    executions = [row[0] for row in rows_of(STRAYS, worker=worker, tokens=list(tokens))]
    if not executions:
        return 0
    rows_of(_SHORT_TIMEOUT)
    lock(executions)
    rows = rows_of(RELEASE, worker=worker, tokens=list(tokens), executions=executions, actor=actor)
    released = [row[0] for row in rows]
    settle(set(released), actor=actor)
    return len(released)


def stranded() -> list[UUID]:
    """Executions that break the invariant: they are unfinished, and nothing will ever wake a worker for them."""
    return [row[0] for row in rows_of(STRANDED)]


def sweep(*, actor: str = ENGINE) -> list[UUID]:
    """Gives stranded executions a message again. Finds nothing in normal life."""
    # Read without locks: executions in the middle of a change show up as neither, because a verb commits all of it at
    # once.
    found = stranded()
    if found:
        with transaction.atomic():
            lock(found)
            # First, or settling would believe that the message is still in the queue.
            rows_of(FORGET_LOST_MESSAGES, executions=found)
            remedy = {"remedy": "its message was put back"}
            record_events(actor, [("job.stranded", execution, remedy) for execution in found])
            settle(found, actor=actor)
    return found
