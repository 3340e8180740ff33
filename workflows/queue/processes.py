"""The processes of `manage.py work`, each a body for the supervisor."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from functools import partial

from django.conf import settings

from workflows.queue.beat import Beat
from workflows.queue.housekeeper import Housekeeper
from workflows.queue.supervisor import Supervisor
from workflows.queue.tasks import run_tasks
from workflows.runner import Runner
from workflows.slots import Sizes

PATIENCE = 0.002
"""Seconds by which each idle runner of a machine lets the one before it go first: all that look at once for the same
message are in each other's way.
"""


def supervisor(*, drain: bool = False) -> Supervisor:
    """Runners, children for plain tasks, and a housekeeper. With `drain` it ends when nothing is due any more."""
    config = settings.CONFIG
    boss = Supervisor(grace=config.stop_grace)
    silence = max(config.lease_seconds, 5.0)
    workers = config.workers or max((os.cpu_count() or 1) // 4, 1)
    for number in range(1, workers + 1):
        boss.add(f"runner {number}", partial(run_runner, number, workers, drain), silence=silence, once=drain)
    # One slow task is not to hold up all others, the schedules among them.
    for number in range(1, max(workers, 2) + 1):
        boss.add(f"tasks {number}", partial(run_tasks, drain=drain), silence=silence, once=drain)
    boss.add("housekeeper", _keep_house, silence=2 * silence)
    return boss


def run_runner(
    number: int, workers: int, drain: bool, on_tick: Callable[[], None], stopping: Callable[[], bool]
) -> None:
    asyncio.run(_run(number, workers, drain, on_tick, stopping))


async def _run(
    number: int, workers: int, drain: bool, on_tick: Callable[[], None], stopping: Callable[[], bool]
) -> None:
    config = settings.CONFIG
    runner = Runner(
        f"worker {socket.gethostname()}:{os.getpid()}",
        config.lease_seconds,
        Sizes(children=config.children or max((os.cpu_count() or 1) // workers, 1)),
        drain=drain,
        patience=PATIENCE * (number - 1),
        on_tick=on_tick,
    )
    loop = asyncio.get_running_loop()
    stops: list[asyncio.Task[None]] = []
    loop.add_signal_handler(signal.SIGTERM, lambda: stops.append(loop.create_task(runner.stop(config.stop_grace))))
    if stopping():
        return
    beat = Beat(runner, kind="runner")
    beat.start()
    await runner.run()
    await asyncio.to_thread(beat.end)


def _keep_house(on_tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
    Housekeeper().run(on_tick, stopping)
