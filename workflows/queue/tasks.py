"""Plain django-q2 tasks, and what a stock cluster runs for an execution's message."""

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime
from multiprocessing import Value
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import InterfaceError, OperationalError, connections
from django.db.models import Q
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import Task
from django_q.monitor import save_cached, save_task
from django_q.signals import post_execute
from django_q.signing import BadSignature, SignedPackage
from django_q.worker import worker

from workflows.database import connect_blocking
from workflows.queue.beat import Beat
from workflows.queue.broker import TASK_WAKE
from workflows.runner import Runner
from workflows.slots import Sizes

logger = logging.getLogger(__name__)

POLL = 2.0
RECONNECT = 0.5
TRIES = 3

# Messages of executions are the runners' business.
_TAKE = """
UPDATE django_q_ormq SET lock = clock_timestamp() + %(lease)s * interval '1 second' WHERE id = (
  SELECT q.id FROM django_q_ormq q
  WHERE q.key = %(key)s AND q.lock <= statement_timestamp()
    AND NOT EXISTS (SELECT FROM workflow_executions e WHERE e.message_id = q.id)
    AND NOT EXISTS (SELECT FROM workflow_pauses)
  ORDER BY q.lock LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING id, payload, lock
"""
_RENEW = """
UPDATE django_q_ormq SET lock = clock_timestamp() + %(lease)s * interval '1 second'
WHERE id = %(id)s AND lock = %(lock)s RETURNING lock
"""


def run_execution(execution: str) -> None:
    """For a stock `qcluster`: one lane of the execution that its message names, in this process."""
    name = f"qcluster {socket.gethostname()}:{os.getpid()}"
    asyncio.run(_run_lane(name, UUID(execution)))


async def _run_lane(name: str, execution: UUID) -> None:
    sizes = Sizes(coroutines=1, threads=1, children=1)
    runner = Runner(name, settings.CONFIG.lease_seconds, sizes, only=execution)
    beat = Beat(runner, kind="qcluster")
    beat.start()
    try:
        await runner.run()
    finally:
        await asyncio.to_thread(beat.end)


class Taken:
    """The message whose task runs now. Its lock is a lease, renewed from another thread; the receipt is the latest."""

    def __init__(self) -> None:
        self.lease = settings.CONFIG.lease_seconds
        self.receipt: tuple[int, datetime] | None = None
        self._guard = threading.Lock()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def take(self, number: int, lock: datetime) -> None:
        with self._guard:
            self.receipt = number, lock

    def leave(self) -> tuple[int, datetime] | None:
        with self._guard:
            receipt, self.receipt = self.receipt, None
        return receipt

    def renew(self, *, lease: float | None = None) -> None:
        """With a lease of 0 the message goes back at once."""
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
                if self.taken.receipt is None or now >= deadline:
                    self.taken.renew(lease=0)
                    os._exit(0)
            time.sleep(0.2)


class Messages:
    """The plain tasks of all queues, as django-q2's worker reads its own queue: `get` waits for the next."""

    def __init__(self, taken: Taken, stopping: Callable[[], bool], *, drain: bool) -> None:
        self.taken = taken
        self.stopping = stopping
        self.drain = drain
        self.has_ended = False
        self.connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def get(self) -> Any:
        while not self.stopping():
            try:
                if task := self._next():
                    return task
                if self.drain:
                    break
                self._wait()
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                logger.warning("tasks: database: %s", str(error).strip())
                self.connection = None
                time.sleep(RECONNECT)
        self.has_ended = True
        return "STOP"

    def _open(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self.connection is None:
            self.connection = connect_blocking("tasks", "listen")
            self.connection.execute(f"LISTEN {TASK_WAKE}")
        return self.connection

    def _next(self) -> dict[str, Any] | None:
        for queue in ("high", "normal", "low"):
            row = self._open().execute(_TAKE, {"lease": self.taken.lease, "key": queue}).fetchone()
            if row is not None and (task := self._opened(row, queue)):
                return task
        return None

    def _opened(self, row: tuple[Any, ...], queue: str) -> dict[str, Any] | None:
        """The package of a message. One that nobody here signed is left for who did, not deleted."""
        number, payload, lock = row
        try:
            task: dict[str, Any] = SignedPackage.loads(payload)
        except (TypeError, BadSignature):
            logger.error("message %s in queue %s is not signed with this SECRET_KEY: left there", number, queue)
            return None
        self.taken.take(number, lock)
        task["cluster"] = queue
        return task

    def _wait(self) -> None:
        for _ in self._open().notifies(timeout=POLL, stop_after=1):
            pass


class Results:
    """What django-q2's monitor does with a finished task, done at once and by the same process."""

    def __init__(self, taken: Taken) -> None:
        self.taken = taken

    def put(self, task: dict[str, Any]) -> None:
        broker = get_broker(task["cluster"])
        self._save(dict(task), broker)
        while not self._is_acknowledged(task, broker):
            time.sleep(RECONNECT)
        post_execute.send(sender="django_q", task=task)
        level = logging.INFO if task["success"] else logging.ERROR
        logger.log(level, "task %s %s", task["name"], "done" if task["success"] else task["result"])

    def _save(self, task: dict[str, Any], broker: Any) -> None:
        """Offers the result until the database takes it. What it cannot store is lost, as by django-q2.

        django-q2 swallows what goes wrong, a cut connection too: so look whether the result is there.
        """
        tries = 0
        while tries < TRIES:
            try:
                if task.get("cached", False):
                    save_cached(task, broker)
                else:
                    save_task(task, broker)
                task["chain"] = None  # its next task has been sent
                if self._is_saved(task):
                    return
                tries += 1
            except (OperationalError, InterfaceError) as error:
                self._reconnect(task, error)
            time.sleep(RECONNECT)

    def _is_saved(self, task: dict[str, Any]) -> bool:
        if task.get("cached", False) or (task["success"] and not task.get("save", Conf.SAVE_LIMIT >= 0)):
            return True
        found = Task.objects.filter(Q(success=True) | Q(stopped=task["stopped"]), id=task["id"])
        return bool(found.exists())

    def _is_acknowledged(self, task: dict[str, Any], broker: Any) -> bool:
        receipt = self.taken.leave()
        try:
            if receipt and (task["success"] or task.get("ack_failure", False)):
                broker.acknowledge(receipt)
        except (OperationalError, InterfaceError) as error:
            self._reconnect(task, error)
            if receipt:
                self.taken.take(*receipt)
            return False
        return True

    def _reconnect(self, task: dict[str, Any], error: Exception) -> None:
        logger.warning("tasks: the end of %s not taken: %s", task["name"], str(error).strip())
        connections[Conf.ORM].close()


def run_tasks(on_tick: Callable[[], None], stopping: Callable[[], bool], *, drain: bool = False) -> None:
    """The tasks child: django-q2's own worker, with its signals and its Task rows, fed by our claims.

    That worker ends after a number of tasks, to be started anew in another process; a drain goes on in this one.
    """
    taken = Taken()
    Pulse(taken, on_tick, stopping).start()
    messages = Messages(taken, stopping, drain=drain)
    while not messages.has_ended:
        worker(messages, Results(taken), Value("f", -1), Conf.TIMEOUT)
        if not drain:
            return
