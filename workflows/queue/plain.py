"""Both queues of django-q2's worker in one: `get` takes the next plain task, `put` records how one ended.

What django-q2's pusher and monitor do in processes of their own is one commit here: the result is recorded, the message
consumed, the next task of its chain sent, and the next message taken. So nothing that is done stays unrecorded while
another task runs, and nothing waits behind a task that runs.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
from django_q.conf import Conf
from django_q.signing import BadSignature, SignedPackage

from workflows.database import connect_blocking
from workflows.queue.broker import TASK_WAKE
from workflows.queue.ending import COLUMNS, Ending, ending_of
from workflows.queue.lease import Receipt, Taken
from workflows.queue.messages import IS_PLAIN

logger = logging.getLogger(__name__)

POLL = 2.0
RECONNECT = 0.5
LOST = (psycopg.OperationalError, psycopg.InterfaceError)

# Messages of executions are the runners' business: thousands may wait, and an index skips them. Those of an earlier
# release it does not know. The message that is just consumed may be due, its lease having run out.
_TAKE = f"""
UPDATE django_q_ormq SET lock = clock_timestamp() + %(lease)s * interval '1 second' WHERE id = (
  SELECT due.id FROM unnest('{{high,normal,low}}'::text[]) AS queue(key) CROSS JOIN LATERAL (
    SELECT q.id FROM django_q_ormq q
    WHERE q.key = queue.key AND q.lock <= statement_timestamp() AND q.id IS DISTINCT FROM %(number)s
      AND {IS_PLAIN}
      AND NOT EXISTS (SELECT FROM workflow_executions e WHERE e.message_id = q.id)
      AND NOT EXISTS (SELECT FROM workflow_pauses)
    ORDER BY q.lock LIMIT 1 FOR UPDATE SKIP LOCKED
  ) due LIMIT %(room)s
) RETURNING id, lock, payload, key
"""
# A failure that is not to be acknowledged comes back when its lease ends, up to django-q2's `max_attempts`.
_CONSUME = """
DELETE FROM django_q_ormq WHERE id = %(number)s AND lock = %(lock)s AND (%(is_acknowledged)s
  OR coalesce((SELECT attempt_count FROM django_q_task WHERE id = %(task)s), 0) + 1 >= %(max_attempts)s
) RETURNING key
"""
_SEND = """
INSERT INTO django_q_ormq (key, payload, lock)
SELECT key, package, statement_timestamp() FROM consumed, unnest(%(packages)s::text[]) AS package
"""
# A success is never overwritten, and a result that is offered twice, its commit's answer having been lost, counts once.
_SAVE = f"""
INSERT INTO django_q_task ({", ".join(f'"{column}"' for column in COLUMNS)})
VALUES ({", ".join(f"%({column})s" for column in COLUMNS)})
ON CONFLICT (id) DO UPDATE SET stopped = excluded.stopped, result = excluded.result, success = excluded.success,
  attempt_count = django_q_task.attempt_count + (django_q_task.stopped <> excluded.stopped)::int
WHERE NOT django_q_task.success OR django_q_task.stopped = excluded.stopped
RETURNING attempt_count
"""
_SAVE_NOTHING = "SELECT NULL::int AS attempt_count"


def _exchange(save: str) -> str:
    return f"""
WITH saved AS ({save}), consumed AS ({_CONSUME}), sent AS ({_SEND}), taken AS ({_TAKE})
SELECT attempts, taken.* FROM (SELECT max(attempt_count) AS attempts FROM saved) AS saved LEFT JOIN taken ON true
"""


_WITH_ROW, _WITHOUT_ROW = _exchange(_SAVE), _exchange(_SAVE_NOTHING)


class PlainTasks:
    """`taken` is the lease of the task that `get` gave or gives next. With `drain` it ends when nothing is due."""

    def __init__(self, taken: Taken, stopping: Callable[[], bool], *, drain: bool) -> None:
        self.taken = taken
        self.stopping = stopping
        self.drain = drain
        self.has_ended = False
        self._next: tuple[str, str] | None = None
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def get(self) -> Any:
        """A task's package, or "STOP"."""
        while not self.stopping():
            try:
                if self._next is None:
                    self._take()
                if self._next is not None:
                    if task := self._open_next(*self._next):
                        return task
                elif self.drain:
                    break
                else:
                    self._wait()
            except LOST as error:
                self._reconnect(error)
        self.has_ended = True
        return "STOP"

    def put(self, task: dict[str, Any]) -> None:
        """Offers a result until the database takes it. One that cannot be stored is lost, as by django-q2."""
        ending = ending_of(task)
        ending.announce(self._offer(ending))

    def _offer(self, ending: Ending) -> int | None:
        """The number of the attempt where a row was stored."""
        while True:
            receipt = self.taken.leave()
            try:
                return self._record(ending, receipt)
            except LOST as error:
                self.taken.take(receipt)
                self._reconnect(error)
            except psycopg.Error:
                self.taken.take(receipt)
                if ending.row is None:
                    raise
                ending.drop_row()

    def _record(self, ending: Ending, receipt: Receipt | None) -> int | None:
        number, lock = receipt or (None, None)
        parameters = {
            **ending.values,
            "number": number,
            "lock": lock,
            "task": ending.task["id"],
            "is_acknowledged": ending.is_acknowledged,
            "max_attempts": Conf.MAX_ATTEMPTS or None,
            "packages": ending.packages,
            "lease": self.taken.lease,
            "room": 0 if self.stopping() or ending.has_followers else 1,
        }
        row = self._open().execute(_WITHOUT_ROW if ending.row is None else _WITH_ROW, parameters).fetchone()
        assert row is not None
        attempts, *message = row
        self._hold(*message)
        return attempts  # type: ignore[no-any-return]

    def _take(self) -> None:
        parameters = {"lease": self.taken.lease, "number": None, "room": 1}
        if message := self._open().execute(_TAKE, parameters).fetchone():
            self._hold(*message)

    def _hold(self, number: int | None, lock: datetime, payload: str, queue: str) -> None:
        if number is not None:
            self.taken.take((number, lock))
            self._next = payload, queue

    def _open_next(self, payload: str, queue: str) -> dict[str, Any] | None:
        """The package of a message. One that nobody here signed is left for who did, not deleted."""
        self._next = None
        try:
            task: dict[str, Any] = SignedPackage.loads(payload)
        except (TypeError, BadSignature):
            logger.error("%s in queue %s is not signed with this SECRET_KEY: left there", self.taken.leave(), queue)
            return None
        task["cluster"] = queue
        return task

    def _wait(self) -> None:
        self.taken.is_idle = True
        try:
            for _ in self._open().notifies(timeout=POLL, stop_after=1):
                pass
        finally:
            self.taken.is_idle = False

    def _open(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = connect_blocking("tasks", "listen")
            self._connection.execute(f"LISTEN {TASK_WAKE}")
        return self._connection

    def _reconnect(self, error: psycopg.Error) -> None:
        logger.warning("tasks: database: %s", str(error).strip())
        self._connection = None
        time.sleep(RECONNECT)
