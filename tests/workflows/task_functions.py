"""Functions of Django's task framework."""

import os
import time
from typing import TYPE_CHECKING, Any

import django
from django.contrib.auth.models import User

from workflows.errors import TryLater

if TYPE_CHECKING or django.VERSION < (6,):
    from django_tasks import TaskContext, task
else:
    from django.tasks import TaskContext, task

calls: list[Any] = []


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def count_users() -> int:
    return User.objects.count()


@task
async def add_slowly(a: int, b: int) -> dict[str, int]:
    return {"sum": a + b, "users": await User.objects.acount()}


@task(takes_context=True)
def tell(context: TaskContext, word: str) -> dict[str, Any]:
    return {"word": word, "attempt": context.attempt, "id": context.task_result.id}


@task
def break_down(word: str) -> None:
    calls.append(word)
    raise ValueError(word)


@task(backend="patient")
def break_down_thrice(word: str) -> None:
    calls.append(word)
    raise ValueError(word)


@task
async def break_down_slowly() -> None:
    raise KeyError("async")


@task
def is_busy_once() -> str:
    calls.append("busy")
    if len(calls) == 1:
        raise TryLater("not yet", delay=0.01)
    return "done"


@task
def return_what_is_no_json() -> Any:
    return {1, 2}


@task
def sleep(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def not_a_task() -> None:
    calls.append("never")
