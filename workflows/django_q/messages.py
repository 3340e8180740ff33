"""A job's message: its row in django-q2's queue.

The row is what a stock `qcluster` takes, and what any tool that looks at the queue sees. Our own runners pick work from
`workflow_executions` and are woken by notifications. A message names an execution and nothing else; the engine writes
it in the transaction that makes the execution due. Jobs have queues of their own (`jobs-high`, `jobs-normal`,
`jobs-low`) beside those of plain tasks.
"""

from functools import lru_cache
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django_q.signing import SignedPackage

JOBS_PREFIX = "jobs-"
"""Before the name of a queue, the key of its jobs. sql/ and `engine.consistency` have the same text."""
JOB_QUEUES = tuple(f"{JOBS_PREFIX}{queue}" for queue in ("high", "normal", "low"))

# When a user is deleted, so are their jobs. Their messages stay, and no runner looks for them.
_DROP_ORPHANS = """
WITH without_message AS (
  DELETE FROM workflow_task_runs r WHERE NOT EXISTS (SELECT FROM django_q_ormq q WHERE q.id = r.message_id)
)
DELETE FROM django_q_ormq q WHERE key = ANY(%s)
  AND NOT EXISTS (SELECT FROM workflow_executions e WHERE e.message_id = q.id)
"""


@lru_cache(4096)
def message_for(execution: UUID) -> str:
    """A signed package like that of `async_task`, so that a stock cluster can run it: see `settings.JOB_TASK`.

    Signing takes longer than a turn of the engine, so all messages of an execution have the same text.
    """
    package = {
        "func": settings.JOB_TASK,
        "id": uuid4().hex,
        "name": f"execution {execution}",
        "args": (str(execution),),
        "kwargs": {},
        "save": False,
        "ack_failure": True,
        "started": timezone.now(),
    }
    return str(SignedPackage.dumps(package))


def drop_orphans() -> None:
    """Deletes messages whose executions do not exist any more."""
    with connection.cursor() as cursor:
        # A job that is being started at this moment is safe: its row and its message appear in one commit.
        cursor.execute(_DROP_ORPHANS, [list(JOB_QUEUES)])
