"""Results of plain tasks, stored by the rules of django-q2's monitor: a `Task` row, or a cached result."""

import logging
from dataclasses import dataclass, field
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models.signals import ModelSignal, post_save, pre_save
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import Task
from django_q.monitor import save_cached
from django_q.signals import post_execute
from django_q.tasks import async_chain
from django_q.utils import get_func_repr

logger = logging.getLogger(__name__)

_FIELDS = Task._meta.concrete_fields
COLUMNS = [each.column for each in _FIELDS]

# What django-q2's monitor does after every task, with all of these rows read and locked.
_KEEP_NEWEST = """
DELETE FROM django_q_task WHERE success AND stopped <= (
  SELECT stopped FROM django_q_task WHERE success ORDER BY stopped DESC OFFSET %s LIMIT 1
)
"""


@dataclass(slots=True)
class TaskResult:
    """`row` is what to store, if anything, and `values` its columns. `packages` are the next tasks of its chain."""

    task: dict[str, Any]
    row: Task | None = None
    values: dict[str, Any] = field(default_factory=dict)
    packages: list[str] = field(default_factory=list)

    @property
    def is_acknowledged(self) -> bool:
        return bool(self.task["success"] or self.task.get("ack_failure", False))

    @property
    def has_followers(self) -> bool:
        """Whether other code still has to run in this process before it can take a task."""
        return bool(self.packages or self.task.get("hook") or post_execute.has_listeners("django_q"))

    def drop_row(self) -> None:
        """Gives up storing the result. Logs the exception that is being handled."""
        logger.exception("the result of task %s cannot be stored", self.task["name"])
        self.row = None

    def announce(self, attempts: int | None) -> None:
        """Runs the hook and the receivers of signals. `attempts` is None if nothing was recorded."""
        if self.row is not None and attempts is not None:
            self.row.attempt_count = attempts
            _send(post_save, self.row, created=attempts == 1)
        post_execute.send_robust("django_q", task=self.task)
        level = logging.INFO if self.task["success"] else logging.ERROR
        logger.log(level, "task %s %s", self.task["name"], "done" if self.task["success"] else self.task["result"])


class _Outbox:
    """Takes the place of a broker: what is sent goes into the commit that records the task."""

    def __init__(self, queue: str, packages: list[str]) -> None:
        self.list_key = queue
        self.packages = packages

    def enqueue(self, package: str) -> int:
        self.packages.append(package)
        return 0


def result_of(task: dict[str, Any]) -> TaskResult:
    result = TaskResult(task)
    if task.get("cached", False):
        save_cached(dict(task), get_broker(task["cluster"]))
    elif not task["success"] or task.get("save", Conf.SAVE_LIMIT >= 0):
        try:
            if task.get("chain"):
                # django-q2 sends the rest of a chain by a broker, in a commit of its own. A crash between the two would
                # lose it.
                outbox = _Outbox(task["cluster"], result.packages)
                async_chain(task["chain"], task["group"], task["cached"], task["sync"], outbox)
            result.row = _row_of(task)
            _send(pre_save, result.row)
            result.values = _values_of(result.row)
        except Exception:  # whatever a result does when it is pickled
            result.drop_row()
    return result


def _row_of(task: dict[str, Any]) -> Task:
    return Task(
        id=task["id"],
        name=task["name"],
        func=get_func_repr(task["func"]),
        hook=task.get("hook"),
        args=task["args"],
        kwargs=task["kwargs"],
        cluster=task["cluster"],
        started=task["started"],
        stopped=task["stopped"],
        result=task["result"],
        group=task.get("group"),
        success=task["success"],
        attempt_count=1,
    )


def _values_of(row: Task) -> dict[str, Any]:
    return {each.column: each.get_db_prep_save(getattr(row, each.attname), connection) for each in _FIELDS}


def _send(signal: ModelSignal, row: Task, **more: Any) -> None:
    """Like the model's `save`."""
    signal.send_robust(Task, instance=row, raw=False, using=DEFAULT_DB_ALIAS, update_fields=None, **more)


def keep_newest() -> None:
    """Deletes the oldest results of successful tasks, beyond django-q2's `save_limit`."""
    if Conf.SAVE_LIMIT > 0:
        with connection.cursor() as cursor:
            cursor.execute(_KEEP_NEWEST, [Conf.SAVE_LIMIT])
