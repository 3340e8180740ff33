"""What a finished task leaves, by the rules of django-q2's monitor: a row, or a cached result, and its chain's next."""

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


@dataclass(slots=True)
class Ending:
    """`row` is what is to be stored, if anything is, and `values` its columns. `packages` are to be sent."""

    task: dict[str, Any]
    row: Task | None = None
    values: dict[str, Any] = field(default_factory=dict)
    packages: list[str] = field(default_factory=list)

    @property
    def is_acknowledged(self) -> bool:
        return bool(self.task["success"] or self.task.get("ack_failure", False))

    @property
    def has_followers(self) -> bool:
        """Whether other code is to run in this process before it is free."""
        return bool(self.packages or self.task.get("hook") or post_execute.has_listeners("django_q"))

    def drop_row(self) -> None:
        """For a result that cannot be stored. Logs the exception that is being handled."""
        logger.exception("the result of task %s cannot be stored", self.task["name"])
        self.row = None

    def announce(self, attempts: int | None) -> None:
        """Runs the hook and the signals' receivers; `attempts` is None where nothing was recorded."""
        if self.row is not None and attempts is not None:
            self.row.attempt_count = attempts
            _send(post_save, self.row, created=attempts == 1)
        post_execute.send_robust("django_q", task=self.task)
        level = logging.INFO if self.task["success"] else logging.ERROR
        logger.log(level, "task %s %s", self.task["name"], "done" if self.task["success"] else self.task["result"])


class _Outbox:
    """Stands in for a broker: what is sent goes with the commit that records the task."""

    def __init__(self, queue: str, packages: list[str]) -> None:
        self.list_key = queue
        self.packages = packages

    def enqueue(self, package: str) -> int:
        self.packages.append(package)
        return 0


def ending_of(task: dict[str, Any]) -> Ending:
    ending = Ending(task)
    if task.get("cached", False):
        save_cached(dict(task), get_broker(task["cluster"]))
    elif not task["success"] or task.get("save", Conf.SAVE_LIMIT >= 0):
        try:
            if task.get("chain"):
                outbox = _Outbox(task["cluster"], ending.packages)
                async_chain(task["chain"], task["group"], task["cached"], task["sync"], outbox)
            ending.row = _row_of(task)
            _send(pre_save, ending.row)
            ending.values = _values_of(ending.row)
        except Exception:  # whatever a result does when it is pickled
            ending.drop_row()
    return ending


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
    """As the model's `save` would."""
    signal.send_robust(Task, instance=row, raw=False, using=DEFAULT_DB_ALIAS, update_fields=None, **more)
