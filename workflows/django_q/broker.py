"""django-q2's ORM broker, made to serve the queue in order by an index, and to notify our workers.

It is the configured `broker_class`, so both `async_task` and a stock `qcluster` use it. A stock cluster takes the
plain tasks of its queue and the jobs of the same priority: `Q_CLUSTER_NAME=high manage.py qcluster` serves the queues
`high` and `jobs-high`.
"""

from datetime import datetime, timedelta
from time import sleep
from typing import Any

from django.db import connections, transaction
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf

from workflows.django_q.messages import JOBS_PREFIX

TASK_WAKE = "workflow_task"

_TAKE = """
UPDATE django_q_ormq SET lock = %(until)s WHERE id IN (
  SELECT due.id FROM unnest(%(keys)s::text[]) AS queue(key) CROSS JOIN LATERAL (
    -- One key at a time, because the index (key, lock) has an order only within a key.
    SELECT q.id, q.lock FROM django_q_ormq q WHERE q.key = queue.key AND q.lock <= statement_timestamp()
    ORDER BY q.lock LIMIT %(limit)s FOR UPDATE SKIP LOCKED
  ) due ORDER BY due.lock LIMIT %(limit)s
) RETURNING id, payload, lock
"""

Receipt = tuple[int, datetime]
"""A message's id, and the lock that was set when it was taken."""


class Broker(ORM):  # type: ignore[misc]
    """A message is acknowledged by its receipt, so one that another process has taken meanwhile stays."""

    def enqueue(self, task: str) -> int:
        package: int = super().enqueue(task)
        # After the commit: before it, a woken worker would not see the message yet.
        transaction.on_commit(self._notify, using=Conf.ORM)
        return package

    def dequeue(self) -> list[tuple[Receipt, str]] | None:
        until = timezone.now() + timedelta(seconds=Conf.RETRY)
        self.get_connection()
        with connections[Conf.ORM].cursor() as cursor:
            cursor.execute(
                _TAKE, {"until": until, "keys": [self.list_key, f"{JOBS_PREFIX}{self.list_key}"], "limit": Conf.BULK}
            )
            rows = cursor.fetchall()
        if not rows:
            sleep(Conf.POLL)
            return None
        return [((number, lock), payload) for number, payload, lock in rows]

    def acknowledge(self, task_id: Receipt) -> Any:
        number, lock = task_id
        # With the lock that was set when it was taken: if the lease ran out, the message belongs to another process by
        # now.
        return self.get_connection().filter(pk=number, lock=lock).delete()

    def delete(self, task_id: Receipt | int) -> None:
        if isinstance(task_id, tuple):
            self.acknowledge(task_id)
        else:
            super().delete(task_id)

    def _notify(self) -> None:
        with connections[Conf.ORM].cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [TASK_WAKE, self.list_key])
