"""Plain django-q2 tasks: what `async_task` puts into the queue, beside the jobs of the engine.

`PlainTasks` serves as both queues of django-q2's worker function: `get` takes the next task, `put` records how one
ended. What django-q2's pusher and monitor do in processes of their own is one commit here: the result is recorded, the
message deleted, the next task of its chain sent, and the next message taken. So no finished task stays unrecorded
while another one runs, and no task waits behind a running one.
"""

import logging
import time
import traceback
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
from django.utils import timezone
from django_q.conf import Conf
from django_q.signing import BadSignature, SignedPackage

from workflows.database_connections import LOST, RECONNECT_SECONDS, connect_blocking
from workflows.django_q.broker import TASK_WAKE
from workflows.django_q.task_lease import Receipt, TaskLease
from workflows.django_q.task_results import COLUMNS, TaskResult, result_of

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0
MAX_CRASHES = 3
"""A task whose process has died this many times fails. It would kill its process again and again."""

# The message that is being consumed in the same statement is left out: it is due if its lease ran out.
_TAKE = """
UPDATE django_q_ormq SET lock = clock_timestamp() + %(lease)s * interval '1 second' WHERE id = (
  SELECT due.id FROM unnest('{high,normal,low}'::text[]) AS queue(key) CROSS JOIN LATERAL (
    SELECT q.id FROM django_q_ormq q
    WHERE q.key = queue.key AND q.lock <= statement_timestamp() AND q.id IS DISTINCT FROM %(number)s
      AND NOT EXISTS (SELECT FROM workflow_pauses WHERE kind = 'all')
    ORDER BY q.lock LIMIT 1 FOR UPDATE SKIP LOCKED
  ) due LIMIT %(room)s
) RETURNING id, lock, payload, key
"""
# A run that does not end stays counted.
_COUNT = """
INSERT INTO workflow_task_runs (message_id, runs) SELECT id, 1 FROM taken
ON CONFLICT (message_id) DO UPDATE SET runs = workflow_task_runs.runs + 1 RETURNING message_id, runs
"""
_FORGET = "DELETE FROM workflow_task_runs WHERE message_id = %(number)s"
_TAKE_AND_COUNT = f"""
WITH taken AS ({_TAKE}), counted AS ({_COUNT})
SELECT taken.*, counted.runs FROM taken JOIN counted ON counted.message_id = taken.id
"""
# A failure that django-q2 is set not to acknowledge comes back when its lease ends, up to `max_attempts` times.
_CONSUME = """
DELETE FROM django_q_ormq WHERE id = %(number)s AND lock = %(lock)s AND (%(is_acknowledged)s
  OR coalesce((SELECT attempt_count FROM django_q_task WHERE id = %(task)s), 0) + 1 >= %(max_attempts)s
) RETURNING key
"""
_SEND = """
INSERT INTO django_q_ormq (key, payload, lock)
SELECT key, package, statement_timestamp() FROM consumed, unnest(%(packages)s::text[]) AS package
"""
# A success is never overwritten. A result that is offered again, because its commit's answer was lost, counts once.
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
WITH saved AS ({save}), consumed AS ({_CONSUME}), sent AS ({_SEND}), forgotten AS ({_FORGET}), taken AS ({_TAKE}),
  counted AS ({_COUNT})
SELECT attempts, taken.*, counted.runs FROM (SELECT max(attempt_count) AS attempts FROM saved) AS saved
LEFT JOIN (taken JOIN counted ON counted.message_id = taken.id) ON true
"""


_WITH_ROW, _WITHOUT_ROW = _exchange(_SAVE), _exchange(_SAVE_NOTHING)


class PlainTasks:
    """`lease` is that of the task that `get` returned last or returns next. With `drain` it ends if nothing is due."""

    def __init__(self, lease: TaskLease, stopping: Callable[[], bool], *, drain: bool) -> None:
        self.lease = lease
        self.stopping = stopping
        self.drain = drain
        self.has_ended = False
        self._next: tuple[str, str, int] | None = None
        self._current: dict[str, Any] | None = None
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def get(self) -> Any:
        """A task's package, or "STOP"."""
        while not self.stopping():
            try:
                if self._next is None:
                    self._take()
                if self._next is not None:
                    payload, queue, runs = self._next
                    if task := self._open_next(payload, queue):
                        self._current = task
                        # This run is counted already, so a task that kills its process again is found here after
                        # MAX_CRASHES runs.
                        if runs <= MAX_CRASHES:
                            return task
                        self._fail_crashed(task, runs - 1)
                elif self.drain:
                    break
                else:
                    self._wait()
            except LOST as error:
                self._drop_connection(error)
        self.has_ended = True
        return "STOP"

    def put(self, task: dict[str, Any]) -> None:
        """Offers a result until the database accepts it. One that cannot be stored is lost, as with django-q2."""
        # First: if storing raises, the task must not be recorded as failed by `fail_current` as well.
        self._current = None
        result = result_of(task)
        # Hooks and signals after the commit, as with django-q2: they may look at the stored result.
        result.announce(self._offer(result))

    def fail_current(self, error: BaseException) -> bool:
        """Records that the running task failed: `error` has ended django-q2's worker function. False without a task."""
        if (task := self._current) is None:
            return False
        reason = "".join(traceback.format_exception(error))
        self.put({**task, "result": f"{error!r} : {reason}", "success": False, "stopped": timezone.now()})
        return True

    def _fail_crashed(self, task: dict[str, Any], crashes: int) -> None:
        reason = f"its process died {crashes} times while it ran this task, so it is not run again"
        logger.error("task %s: %s", task["name"], reason)
        now = timezone.now()
        self.put({**task, "started": now, "result": reason, "success": False, "stopped": now})

    def _offer(self, result: TaskResult) -> int | None:
        """The number of the attempt, or None if no row was stored."""
        while True:
            # The commit deletes the message, so the other thread must not renew its lease meanwhile.
            receipt = self.lease.leave()
            try:
                return self._record(result, receipt)
            except LOST as error:
                # Renewed again while the result waits for the database: no other process may run the task meanwhile.
                self.lease.take(receipt)
                self._drop_connection(error)
            except psycopg.Error:
                self.lease.take(receipt)
                if result.row is None:
                    raise
                # The row cannot be stored: the next try only acknowledges the message.
                result.drop_row()

    def _record(self, result: TaskResult, receipt: Receipt | None) -> int | None:
        number, lock = receipt or (None, None)
        parameters = {
            **result.values,
            "number": number,
            "lock": lock,
            "task": result.task["id"],
            "is_acknowledged": result.is_acknowledged,
            "max_attempts": Conf.MAX_ATTEMPTS or None,
            "packages": result.packages,
            "lease": self.lease.seconds,
            "room": 0 if self.stopping() or result.has_followers else 1,
        }
        row = self._open().execute(_WITHOUT_ROW if result.row is None else _WITH_ROW, parameters).fetchone()
        assert row is not None
        attempts, *message = row
        self._hold(*message)
        return attempts  # type: ignore[no-any-return]

    def _take(self) -> None:
        parameters = {"lease": self.lease.seconds, "number": None, "room": 1}
        if message := self._open().execute(_TAKE_AND_COUNT, parameters).fetchone():
            self._hold(*message)

    def _hold(self, number: int | None, lock: datetime, payload: str, queue: str, runs: int) -> None:
        if number is not None:
            self.lease.take((number, lock))
            self._next = payload, queue, runs

    def _open_next(self, payload: str, queue: str) -> dict[str, Any] | None:
        """The package of a message. None if it cannot be read here: the message stays for a worker that can."""
        self._next = None
        try:
            task: dict[str, Any] = SignedPackage.loads(payload)
        except (TypeError, BadSignature):
            logger.error("%s in queue %s is not signed with this SECRET_KEY: left there", self._leave(), queue)
            return None
        except Exception:  # whatever unpickling raises, for example for a class that is gone
            logger.exception("%s in queue %s cannot be unpickled: left there", self._leave(), queue)
            return None
        task["cluster"] = queue
        return task

    def _leave(self) -> Receipt | None:
        """Leaves a message in the queue until its lease has run out. Its task did not begin."""
        receipt = self.lease.leave()
        if receipt is not None:
            self._open().execute(_FORGET, {"number": receipt[0]})
        return receipt

    def _wait(self) -> None:
        self.lease.is_idle = True
        try:
            for _ in self._open().notifies(timeout=POLL_SECONDS, stop_after=1):
                pass
        finally:
            self.lease.is_idle = False

    def _open(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = connect_blocking("tasks", "listen")
            # `_wait`.
            self._connection.execute(f"LISTEN {TASK_WAKE}")
        return self._connection

    def _drop_connection(self, error: Exception) -> None:
        logger.warning("tasks: database: %s", str(error).strip())
        self._connection = None
        time.sleep(RECONNECT_SECONDS)
