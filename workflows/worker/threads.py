"""Runs blocking functions in threads, beside the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from django.db import close_old_connections

T = TypeVar("T")


async def in_thread(executor: ThreadPoolExecutor, function: Callable[..., T], *arguments: Any) -> T:
    """Runs `function` in a thread, in this task's context. Django keeps one connection for each thread, and must not
    reuse a dead one.
    """
    run = partial(copy_context().run, _with_connections, function, arguments)
    return await asyncio.get_running_loop().run_in_executor(executor, run)


def _with_connections(function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    # Like Django for each request: a thread must neither get nor leave behind a broken connection.
    close_old_connections()
    try:
        return function(*arguments)
    finally:
        close_old_connections()
