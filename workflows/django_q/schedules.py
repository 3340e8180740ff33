"""The functions that a schedule may call.

A schedule is a row, and a row is data: a user who can write it can name a function in it. django-q2 would call any
function of any module, such as `os.system`. So a schedule starts only what `settings.SCHEDULED_FUNCTIONS` lists. Code
is free to call `async_task` with any function: its messages are signed.
"""

import logging
from typing import Any

import django_q.scheduler
from django.conf import settings
from django_q.tasks import async_task

from aiworkstation.audit.record import record

logger = logging.getLogger(__name__)

ACTOR = "schedule"


def guard() -> None:
    """Makes django-q2's scheduler call `start_allowed`, in our maintenance and in stock clusters alike."""
    django_q.scheduler.async_task = start_allowed


def start_allowed(func: Any, *args: Any, **kwargs: Any) -> str | None:
    """Starts a schedule's task, or records a refusal. The scheduler continues with the next schedule either way."""
    named = [func, *_followers(kwargs), *_followers(kwargs.get("q_options") or {})]
    refused = [str(name) for name in named if name not in settings.SCHEDULED_FUNCTIONS]
    if not refused:
        return str(async_task(func, *args, **kwargs))
    logger.error("a schedule names %s, which SCHEDULED_FUNCTIONS does not list: refused", ", ".join(refused))
    group = (kwargs.get("q_options") or {}).get("group", "")
    record(ACTOR, "schedule.refused", f"schedule:{group}", {"functions": [name[:200] for name in refused[:10]]})
    return None


def _followers(options: dict[str, Any]) -> list[Any]:
    """The functions that run after a task: its hook, and the rest of its chain, whose entries begin with a function."""
    chain = options.get("chain") or []
    hook = options.get("hook")
    return [
        *([hook] if hook else []),
        *(each[0] if isinstance(each, list | tuple) and each else each for each in chain),
    ]
