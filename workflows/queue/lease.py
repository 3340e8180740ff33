"""The lease of the message whose task runs now, and the thread that keeps it."""

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
from django.conf import settings

from workflows.database import connect_blocking

logger = logging.getLogger(__name__)

_RENEW = """
UPDATE django_q_ormq SET lock = clock_timestamp() + %(lease)s * interval '1 second'
WHERE id = %(id)s AND lock = %(lock)s RETURNING lock
"""

Receipt = tuple[int, datetime]
"""A message and its lock, which is the end of the lease."""


class Taken:
    """The message whose task runs now, or next. It is renewed from another thread; the receipt is the latest.

    `is_idle` while its process waits for a message.
    """

    def __init__(self) -> None:
        self.lease = settings.CONFIG.lease_seconds
        self.receipt: Receipt | None = None
        self.is_idle = False
        self._guard = threading.Lock()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def take(self, receipt: Receipt | None) -> None:
        with self._guard:
            self.receipt = receipt

    def leave(self) -> Receipt | None:
        with self._guard:
            receipt, self.receipt = self.receipt, None
        return receipt

    def give_back(self) -> None:
        self.renew(lease=0)

    def renew(self, *, lease: float | None = None) -> None:
        with self._guard:
            if self.receipt is None:
                return
            number, lock = self.receipt
            try:
                self._connection = self._connection or connect_blocking("tasks beat")
                lease = self.lease if lease is None else lease
                cursor = self._connection.execute(_RENEW, {"id": number, "lock": lock, "lease": lease})
                row = cursor.fetchone()
            except psycopg.Error as error:
                logger.warning("tasks: no beat: %s", str(error).strip())
                self._connection = None
                return
            self.receipt = (number, row[0]) if row else None


class Pulse(threading.Thread):
    """Ticks and renews while a task blocks its own thread: a frozen process is noticed, a busy one is not."""

    def __init__(self, taken: Taken, on_tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
        super().__init__(name="pulse", daemon=True)
        self.taken = taken
        self.on_tick = on_tick
        self.stopping = stopping

    def run(self) -> None:
        renewed, deadline = time.monotonic(), float("inf")
        while True:
            self.on_tick()
            now = time.monotonic()
            if now - renewed > self.taken.lease / 6:
                renewed = now
                self.taken.renew()
            if self.stopping():
                deadline = min(deadline, now + settings.CONFIG.stop_grace)
                if self.taken.is_idle or now >= deadline:
                    self.taken.give_back()
                    os._exit(0)
            time.sleep(0.2)
