"""The housekeeper: one at a time over all machines, by a leased row.

It runs django-q2's scheduler, reaps leases that ran out, ends waits for outside workers that are silent, sweeps for
executions that break the invariant, and forgets workers that are gone and old results of plain tasks.
"""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import Error, close_old_connections, connection
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.scheduler import scheduler
from psycopg.errors import LockNotAvailable

from aiworkstation.ids import uuid7
from workflows import engine
from workflows.models import SeenWebhook, Worker
from workflows.queue.messages import IS_PLAIN

logger = logging.getLogger(__name__)

TURN = 1.0
SWEEP_EVERY = 10.0
SCHEDULE_EVERY = 5.0

# Zero rows: another process has the duty.
_TAKE_DUTY = """
INSERT INTO workflow_duties (name, holder, lease_until)
VALUES ('housekeeper', %(holder)s, clock_timestamp() + %(lease)s * interval '1 second')
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
WHERE workflow_duties.holder = excluded.holder OR workflow_duties.lease_until < clock_timestamp()
RETURNING name
"""
_LEAVE_DUTY = (
    "UPDATE workflow_duties SET lease_until = clock_timestamp() WHERE name = 'housekeeper' AND holder = %(holder)s"
)

# What django-q2's monitor does behind every task, with all of these rows read and locked.
_KEEP_NEWEST = """
DELETE FROM django_q_task WHERE success AND stopped <= (
  SELECT stopped FROM django_q_task WHERE success ORDER BY stopped DESC OFFSET %(limit)s LIMIT 1
)
"""

# Where a user was deleted, their jobs are gone. No worker looks for these messages.
_DROP_ORPHANS = f"""
DELETE FROM django_q_ormq q WHERE NOT {IS_PLAIN}
  AND NOT EXISTS (SELECT FROM workflow_executions e WHERE e.message_id = q.id)
"""

# Nothing waits for long for a process that was frozen in a transaction, a housekeeper before all.
_HASTE = " -c lock_timeout=1s -c idle_in_transaction_session_timeout=5s"

# Workers cannot have renewed while PostgreSQL was down: give them a lease from its start.
_SERVER_AGE = "SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8"


class Housekeeper:
    def __init__(self) -> None:
        self.id: UUID = uuid7()
        self.lease = settings.CONFIG.lease_seconds
        self.connected = 0.0
        self.swept = self.scheduled = 0.0

    def run(self, on_tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
        connection.settings_dict["OPTIONS"]["options"] += _HASTE
        while not stopping():
            on_tick()
            try:
                close_old_connections()
                self.turn()
            except Error as error:
                logger.warning("housekeeper: database: %s", str(error).strip())
                if not isinstance(error.__cause__, LockNotAvailable):
                    connection.close()
                    self.connected = 0.0
            time.sleep(TURN)
        self._execute(_LEAVE_DUTY)

    def turn(self) -> None:
        if not self._execute(_TAKE_DUTY):
            return
        now = time.monotonic()
        self.connected = self.connected or now
        may_reap = now - self.connected > self.lease and self._server_age() > self.lease
        if may_reap and (reaped := engine.reap()):
            logger.warning("%d steps lost their lease and go on elsewhere", reaped)
        if may_reap and (silent := engine.end_silence()):
            logger.warning("%d outside workers said nothing in time", silent)
        if now - self.scheduled > SCHEDULE_EVERY:
            self.scheduled = now
            scheduler(get_broker())
        if now - self.swept > SWEEP_EVERY:
            self.swept = now
            for execution in engine.sweep():
                logger.error("execution %s had nothing to wake it up: the invariant was broken", execution)
            SeenWebhook.prune()
            keep_newest_tasks()
            drop_orphans()
            Worker.objects.filter(last_beat__lt=timezone.now() - timedelta(seconds=10 * self.lease)).delete()

    def _execute(self, statement: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(statement, {"holder": self.id, "lease": self.lease})
            return bool(cursor.rowcount > 0)

    def _server_age(self) -> float:
        with connection.cursor() as cursor:
            cursor.execute(_SERVER_AGE)
            (age,) = cursor.fetchone()
        return float(age)


def drop_orphans() -> None:
    """Messages whose executions are no more."""
    with connection.cursor() as cursor:
        cursor.execute(_DROP_ORPHANS)


def keep_newest_tasks() -> None:
    """Of the tasks that succeeded, django-q2's `save_limit`."""
    if Conf.SAVE_LIMIT > 0:
        with connection.cursor() as cursor:
            cursor.execute(_KEEP_NEWEST, {"limit": Conf.SAVE_LIMIT})
