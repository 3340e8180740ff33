"""Maintenance: one process at a time, on all machines together, holds its leased row.

It runs django-q2's scheduler, reaps leases that ran out, fails waits for silent outside workers, sweeps for executions
that break the invariant, seals the audit trail, counts its events for the metrics, counts ended jobs in the roll-ups,
does the duties of other apps (`settings.MAINTENANCE_DUTIES`), and deletes the rows of dead workers and the oldest
results of plain tasks.
"""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import Error, close_old_connections, connection
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.brokers import get_broker
from django_q.scheduler import scheduler
from psycopg.errors import LockNotAvailable

from aiworkstation.audit import protection
from aiworkstation.audit.chain import Sealer
from aiworkstation.audit.published_heads import publish_head
from aiworkstation.ids import uuid7
from workflows import engine
from workflows.django_q.messages import drop_orphans
from workflows.django_q.task_results import keep_newest
from workflows.engine.rollups import count_ended_jobs
from workflows.models import Duty, SeenWebhook, Worker
from workflows.monitoring.counters import count_sealed_events

logger = logging.getLogger(__name__)

ROUND_SECONDS = 1.0
SWEEP_EVERY = 10.0
SCHEDULE_EVERY = 5.0
SEAL_EVERY = 5.0
ROLL_UP_EVERY = 5.0

DUTY = "maintenance"

# It must not wait long for a process that is frozen in a transaction, and nobody for it.
_SHORT_TIMEOUTS = {"lock_timeout": "1s", "idle_in_transaction_session_timeout": "5s"}

# Workers could not renew while PostgreSQL was down: give them one lease from its start. Do the same after an outage
# that this process has seen: an error, or an answer that took very long. A process that has just started has seen none,
# so if everything was killed, its steps begin again when their leases have run out.
_SERVER_AGE = "SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8"


class Maintenance:
    def __init__(self) -> None:
        self.id: UUID = uuid7()
        self.lease = settings.CONFIG.lease_seconds
        self.connected_at = float("-inf")
        """When the last outage ended, 0.0 during one. Monotonic."""
        self.swept_at = self.scheduled_at = self.sealed_at = self.rolled_up_at = 0.0
        self.has_warned = False
        self._forget()

    def _forget(self) -> None:
        """Forgets what is true for one database server only."""
        self.sealer = Sealer()
        self.duties = [import_string(path)() for path in settings.MAINTENANCE_DUTIES]

    def run(self, on_tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
        connection.settings_dict["SESSION"] = {**connection.settings_dict["SESSION"], **_SHORT_TIMEOUTS}
        while not stopping():
            on_tick()
            try:
                # Like Django between requests: a broken connection is opened again.
                close_old_connections()
                self.do_round()
            except Error as error:
                logger.warning("maintenance: database: %s", str(error).strip())
                if not isinstance(error.__cause__, LockNotAvailable):
                    connection.close()
                    self.connected_at = 0.0
                    self._forget()  # the server may be another one, which counts transactions anew
            time.sleep(ROUND_SECONDS)
        Duty.leave(DUTY, self.id)

    def do_round(self) -> None:
        """Does what is due, if no other process has the duty."""
        asked = time.monotonic()
        has_duty = Duty.take(DUTY, self.id, self.lease)
        now = time.monotonic()
        # Counted from the connection and not from the duty, which may come a lease later.
        if not self.connected_at or now - asked > self.lease / 3:
            self.connected_at = now
        # Another process has it. Its lease runs out if it dies, and the next round of any process takes the duty over.
        if not has_duty:
            return
        self._warn_once()
        # The server's age is asked only if this process has seen no outage, because it costs a query.
        if now - self.connected_at > self.lease and self._server_age() > self.lease:
            _end_what_nobody_continues()
        if now - self.scheduled_at > SCHEDULE_EVERY:
            # Set before the work: if it fails, the next try is as far away as after a success.
            self.scheduled_at = now
            scheduler(get_broker())
        self._do_duties()
        if now - self.sealed_at > SEAL_EVERY:
            self.sealed_at = now
            self.sealer.seal()
            count_sealed_events()
            publish_head(settings.CONFIG.audit_head_file)
        if now - self.rolled_up_at > ROLL_UP_EVERY:
            self.rolled_up_at = now
            count_ended_jobs()
        if now - self.swept_at > SWEEP_EVERY:
            self.swept_at = now
            for execution in engine.sweep():
                logger.error("execution %s had nothing to wake a worker: the invariant was broken", execution)
            SeenWebhook.prune()
            keep_newest()
            drop_orphans()
            Worker.objects.filter(last_beat__lt=timezone.now() - timedelta(seconds=10 * self.lease)).delete()

    def _warn_once(self) -> None:
        if not self.has_warned and (weakness := protection.warning()):
            logger.warning(weakness)
        self.has_warned = True

    def _do_duties(self) -> None:
        """A defect of another app must not stop maintenance."""
        for duty in self.duties:
            try:
                duty.do()
            except Error:
                raise
            except Exception:
                logger.exception("maintenance: %s", type(duty).__name__)

    def _server_age(self) -> float:
        with connection.cursor() as cursor:
            cursor.execute(_SERVER_AGE)
            (age,) = cursor.fetchone()
        return float(age)


def _end_what_nobody_continues() -> None:
    if reaped := engine.reap():
        logger.warning("%d steps lost their lease and go back to the queue", reaped)
    if silent := engine.end_silence():
        logger.warning("%d outside workers did not answer in time", silent)
