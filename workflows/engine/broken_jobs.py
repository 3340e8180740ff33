"""Jobs whose rows make a worker's turn fail: each is found and fails, so that it cannot stop the work of all others."""

from collections.abc import Collection
from typing import get_args
from uuid import UUID

from django.db import DatabaseError, transaction

from workflows.database_connections import REJECTED
from workflows.engine.query import rows_of
from workflows.engine.steer_job import fail
from workflows.engine.turn import TURN, Demand, WorkerInfo, turn_parameters
from workflows.tools import Slot

LIMIT = 400
"""How many due executions are checked for each kind of slot: more than a worker has slots."""

# In the order of `workflow_pick`, for each kind of slot: the job that stops a worker is among the first that it picks.
DUE = """
SELECT job.id, job.next_slot FROM unnest(%(slots)s::text[]) AS slot CROSS JOIN LATERAL (
  SELECT id, next_slot FROM workflow_executions
  WHERE next_slot = slot AND wake_at <= statement_timestamp() AND message_id IS NOT NULL
    AND next_tool = ANY(%(tools)s::text[])
  ORDER BY CASE WHEN queue = 'high' THEN 0 WHEN queue = 'normal' THEN 2 ELSE 4 END
    + CASE WHEN steps_running > 0 THEN 1 ELSE 0 END, wake_at LIMIT %(limit)s
) AS job
"""


class _Undo(Exception):
    """Ends a trial turn: nothing of it is kept."""


def fail_broken_jobs(worker: WorkerInfo, jobs: Collection[UUID], reason: str, *, actor: str) -> list[UUID]:
    """Fails the given jobs; without any, those due jobs for which a turn by itself raises an error. Returns them.

    `reason` is what the database said.
    """
    due = [] if jobs else rows_of(DUE, slots=list(get_args(Slot)), tools=list(worker.tools), limit=LIMIT)
    broken = dict.fromkeys(jobs, reason)
    broken |= {job: why for job, slot in due if (why := _why_broken(worker, job, slot))}
    return [job for job, why in broken.items() if fail(job, _error(why), actor=actor)]


def _why_broken(worker: WorkerInfo, job: UUID, slot: Slot) -> str:
    """The database's error for a turn that claims a step of this job alone. Empty if there is none."""
    try:
        with transaction.atomic():
            rows_of(TURN, **turn_parameters(worker, [], [Demand(slot, free=1)], only=job))
            # The trial has claimed a step. Rolling back leaves the job as it was.
            raise _Undo
    except _Undo:
        return ""
    except DatabaseError as error:
        # Other errors, such as a lock or a lost connection, are not the job's fault.
        return str(error) if isinstance(error.__cause__, REJECTED) else ""


def _error(reason: str) -> dict[str, object]:
    why = reason.strip().split("\n")[0][:300]
    return {
        "code": "broken_rows",
        "message": f"The rows of this job contradict each other ({why}). Run `manage.py check_engine`.",
        "retryable": False,
    }
