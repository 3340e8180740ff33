"""Plain django-q2 tasks, and what a stock cluster runs for an execution's message."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from multiprocessing import Value
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import connection
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
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

# Messages of executions are the runners' business.
_TAKE_PLAIN = """
UPDATE django_q_ormq SET lock = %(until)s WHERE id = (
  SELECT q.id FROM django_q_ormq q
  WHERE q.key = %(key)s AND q.lock <= statement_timestamp()
    AND NOT EXISTS (SELECT FROM workflow_executions e WHERE e.message_id = q.id)
  ORDER BY q.lock LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING id, payload, lock
"""


def run_execution(execution: str) -> None:
    """For a stock `qcluster`: one lane of the execution that its message names, in this process."""
    name = f"qcluster {socket.gethostname()}:{os.getpid()}"
    asyncio.run(_run_lane(name, UUID(execution)))


async def _run_lane(name: str, execution: UUID) -> None:
    sizes = Sizes(coroutines=1, threads=1, children=1)
    runner = Runner(name, settings.CONFIG.lease_seconds, sizes, only=execution)
    loop = asyncio.get_running_loop()
    beat = Beat(runner, kind="qcluster", lost=lambda: loop.call_soon_threadsafe(runner.lose))
    beat.start()
    try:
        await runner.run()
    finally:
        await asyncio.to_thread(beat.end)


class _Messages:
    """The plain tasks of all queues, as django-q2's worker reads its own queue: `get` waits for the next."""

    def __init__(self, on_tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
        self.on_tick = on_tick
        self.stopping = stopping
        self.listening: psycopg.Connection[tuple[Any, ...]] | None = None

    def get(self) -> Any:
        while not self.stopping():
            self.on_tick()
            try:
                if task := self._take():
                    return task
                self._wait()
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
                self._forget(error)
            except Exception as error:
                if not isinstance(error.__cause__, psycopg.Error):
                    raise
                self._forget(error)
        return "STOP"

    def _take(self) -> dict[str, Any] | None:
        until = timezone.now() + timedelta(seconds=Conf.RETRY)
        for queue in ("high", "normal", "low"):
            with connection.cursor() as cursor:
                cursor.execute(_TAKE_PLAIN, {"until": until, "key": queue})
                row = cursor.fetchone()
            if row is not None and (task := _opened(row, queue)):
                return task
        return None

    def _wait(self) -> None:
        if self.listening is None:
            self.listening = connect_blocking("tasks listen", purpose="listen")
            self.listening.execute(f"LISTEN {TASK_WAKE}")
            return
        for _ in self.listening.notifies(timeout=POLL, stop_after=1):
            pass

    def _forget(self, error: Exception) -> None:
        logger.warning("tasks: database: %s", str(error).strip())
        connection.close()
        if self.listening is not None:
            self.listening.close()
            self.listening = None
        time.sleep(0.5)


def _opened(row: tuple[int, str, datetime], queue: str) -> dict[str, Any] | None:
    """The package of a message. One that nobody here signed is left for who did, not deleted."""
    number, payload, lock = row
    try:
        task: dict[str, Any] = SignedPackage.loads(payload)
    except (TypeError, BadSignature):
        logger.error("message %s in queue %s is not signed with this SECRET_KEY: left there", number, queue)
        return None
    task["cluster"] = Conf.CLUSTER_NAME
    task["ack_id"] = (number, lock)
    task["queue"] = queue
    return task


class _Results:
    """What django-q2's monitor does with a finished task, done at once and by the same process."""

    def put(self, task: dict[str, Any]) -> None:
        broker = get_broker(task.pop("queue"))
        if task.get("cached", False):
            save_cached(task, broker)
        else:
            save_task(task, broker)
        receipt = task.pop("ack_id")
        if task["success"] or task.get("ack_failure", False):
            broker.acknowledge(receipt)
        post_execute.send(sender="django_q", task=task)
        level = logging.INFO if task["success"] else logging.ERROR
        logger.log(level, "task %s %s", task["name"], "done" if task["success"] else task["result"])


def run_tasks(on_tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
    """The tasks child: django-q2's own worker, with its signals and its Task rows, fed by our claims."""
    worker(_Messages(on_tick, stopping), _Results(), Value("f", -1), Conf.TIMEOUT)
