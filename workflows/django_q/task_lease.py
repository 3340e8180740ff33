"""The lease of a plain task: the `lock` of its message, and the thread that renews it."""

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
from django.conf import settings

from workflows.database_connections import connect_blocking

logger = logging.getLogger(__name__)

_RENEW = """
UPDATE django_q_ormq SET lock = clock_timestamp() + %(lease)s * interval '1 second'
WHERE id = %(id)s AND lock = %(lock)s RETURNING lock
"""

# The run is given back: it did not end, although its process did not die.
_GIVE_BACK = f"""
WITH given_back AS ({_RENEW})
, forgotten AS (DELETE FROM workflow_task_runs WHERE message_id IN (SELECT %(id)s FROM given_back))
SELECT lock FROM given_back
"""

Receipt = tuple[int, datetime]
"""A message and its lock, which is the end of the lease."""


class TaskLease:
    """The lease of the task that is running, or runs next. It is renewed from another thread.

    `receipt` is the latest one, None between tasks. `is_idle` while the process waits for a message.
    """

    def __init__(self) -> None:
        self.seconds = settings.CONFIG.lease_seconds
        self.receipt: Receipt | None = None
        self.is_idle = False
        # The main thread takes and leaves the lease, and the other thread renews it.
        self._guard = threading.Lock()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def take(self, receipt: Receipt | None) -> None:
        with self._guard:
            self.receipt = receipt

    def leave(self) -> Receipt | None:
        with self._guard:
            # Under the guard: a renewal that is under way ends first, so the receipt has the newest lock.
            receipt, self.receipt = self.receipt, None
        return receipt

    def give_back(self) -> None:
        # Zero seconds: the message is due at once for another process.
        self.renew(lease=0)

    def renew(self, *, lease: float | None = None) -> None:
        with self._guard:
            if self.receipt is None:
                return
            number, lock = self.receipt
            try:
                self._connection = self._connection or connect_blocking("tasks leases")
                lease = self.seconds if lease is None else lease
                statement = _RENEW if lease else _GIVE_BACK
                cursor = self._connection.execute(statement, {"id": number, "lock": lock, "lease": lease})
                row = cursor.fetchone()
            except psycopg.Error as error:
                logger.warning("tasks: lease not renewed: %s", str(error).strip())
                self._connection = None
                return
            # Without a row, the lease ran out and another process has the message.
            self.receipt = (number, row[0]) if row else None


class TaskLeaseRenewer(threading.Thread):
    """Ticks and renews while the task blocks the main thread, so that a busy process is not taken for a frozen one."""

    def __init__(self, lease: TaskLease, on_tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
        super().__init__(name="lease renewer", daemon=True)
        self.lease = lease
        self.on_tick = on_tick
        self.stopping = stopping

    def run(self) -> None:
        renewed, deadline = time.monotonic(), float("inf")
        while True:
            self.on_tick()
            now = time.monotonic()
            if now - renewed > self.lease.seconds / 6:
                renewed = now
                self.lease.renew()
            if self.stopping():
                deadline = min(deadline, now + settings.CONFIG.stop_grace)
                if self.lease.is_idle or now >= deadline:
                    self.lease.give_back()
                    # The main thread may be inside a task that never ends, so no orderly end is possible.
                    os._exit(0)
            time.sleep(0.2)
