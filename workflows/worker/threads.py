"""Runs blocking functions in threads, beside the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import close_old_connections

T = TypeVar("T")


async def in_thread(executor: ThreadPoolExecutor, function: Callable[..., T], *arguments: Any) -> T:
    """Runs `function` in a thread. Django keeps one connection for each thread, and must not reuse a dead one."""
    return await asyncio.get_running_loop().run_in_executor(executor, _with_connections, function, arguments)


def _with_connections(function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    close_old_connections()
    try:
        return function(*arguments)
    finally:
        close_old_connections()
