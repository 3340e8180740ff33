"""Jobs whose rows make a worker's turn fail: each is found and fails, so that it cannot stop the work of all others."""

from collections.abc import Collection
from uuid import UUID

from django.db import DatabaseError, transaction

from workflows.database_connections import REJECTED
from workflows.engine.query import rows_of
from workflows.engine.steer_job import fail
from workflows.engine.turn import TURN, Demand, WorkerInfo, turn_parameters
from workflows.tools import Slot

LIMIT = 200
"""How many due executions are looked at."""

DUE = """
SELECT id, next_slot FROM workflow_executions
WHERE wake_at <= statement_timestamp() AND message_id IS NOT NULL ORDER BY wake_at LIMIT %(limit)s
"""


class _Undo(Exception):
    """Ends a trial turn: nothing of it is kept."""


def fail_broken_jobs(worker: WorkerInfo, jobs: Collection[UUID], reason: str, *, actor: str) -> list[UUID]:
    """Fails the given jobs; without any, those due jobs for which a turn by itself raises an error. Returns them.

    `reason` is what the database said.
    """
    broken = dict.fromkeys(jobs, reason) or {
        job: why for job, slot in rows_of(DUE, limit=LIMIT) if (why := _why_broken(worker, job, slot))
    }
    return [job for job, why in broken.items() if fail(job, _error(why), actor=actor)]


def _why_broken(worker: WorkerInfo, job: UUID, slot: Slot) -> str:
    """What the database says to a turn that claims a step of this job alone. Empty if all is well."""
    try:
        with transaction.atomic():
            rows_of(TURN, **turn_parameters(worker, [], [Demand(slot, free=1)], only=job))
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
