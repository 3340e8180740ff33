"""Plain django-q2 tasks: the child that runs them, and what a stock cluster runs for an execution's message."""

import asyncio
import os
import socket
from collections.abc import Callable
from multiprocessing import Value
from uuid import UUID

from django.conf import settings
from django_q.conf import Conf
from django_q.worker import worker

from workflows.queue.beat import Beat
from workflows.queue.lease import Pulse, Taken
from workflows.queue.plain import PlainTasks
from workflows.runner import Runner
from workflows.slots import Sizes


def run_execution(execution: str) -> None:
    """For a stock `qcluster`: one lane of the execution that its message names, in this process."""
    name = f"qcluster {socket.gethostname()}:{os.getpid()}"
    asyncio.run(_run_lane(name, UUID(execution)))


async def _run_lane(name: str, execution: UUID) -> None:
    sizes = Sizes(coroutines=1, threads=1, children=1, alone=1)
    runner = Runner(name, settings.CONFIG.lease_seconds, sizes, only=execution)
    beat = Beat(runner, kind="qcluster")
    beat.start()
    try:
        await runner.run()
    finally:
        await asyncio.to_thread(beat.end)


def run_tasks(on_tick: Callable[[], None], stopping: Callable[[], bool], *, drain: bool = False) -> None:
    """A tasks child: django-q2's own worker, with its signals and its Task rows, fed by our claims.

    That worker ends after a number of tasks, to be started anew in another process; a drain goes on in this one.
    """
    taken = Taken()
    Pulse(taken, on_tick, stopping).start()
    tasks = PlainTasks(taken, stopping, drain=drain)
    while not tasks.has_ended:
        worker(tasks, tasks, Value("f", -1), Conf.TIMEOUT)
        if not drain:
            break
    taken.give_back()
