"""The processes of `manage.py work`: what the supervisor runs in each of its children."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from functools import partial

from django.conf import settings

from workflows.worker.capacity import SlotSizes
from workflows.worker.lease_renewer import LeaseRenewer
from workflows.worker.maintenance import Maintenance
from workflows.worker.runner import Runner
from workflows.worker.side_duties import start_side_duties
from workflows.worker.supervisor import WorkerSupervisor
from workflows.worker.task_process import run_tasks

PATIENCE = 0.002
"""Each idle runner of a machine waits so many seconds longer than the one before it, because runners that look for the
same execution at once get in each other's way.
"""


def worker_supervisor(*, drain: bool = False) -> WorkerSupervisor:
    """A supervisor of runners, task processes and maintenance. With `drain` it stops when no more work is due."""
    config = settings.CONFIG
    supervisor = WorkerSupervisor(grace=config.stop_grace)
    silence = max(config.lease_seconds, 5.0)
    workers = config.workers or max((os.cpu_count() or 1) // 4, 1)
    for number in range(1, workers + 1):
        supervisor.add(f"runner {number}", partial(run_runner, number, workers, drain), silence=silence, once=drain)
    # At least two: one slow task must not hold up all others, such as schedules.
    for number in range(1, max(workers, 2) + 1):
        supervisor.add(f"tasks {number}", partial(run_tasks, drain=drain), silence=silence, once=drain)
    supervisor.add("maintenance", _run_maintenance, silence=2 * silence)
    return supervisor


def run_runner(
    number: int, workers: int, drain: bool, on_tick: Callable[[], None], stopping: Callable[[], bool]
) -> None:
    """The body of a runner's process: number `number` of `workers` on this machine."""
    asyncio.run(_run_runner(number, workers, drain, on_tick, stopping))


async def _run_runner(
    number: int, workers: int, drain: bool, on_tick: Callable[[], None], stopping: Callable[[], bool]
) -> None:
    config = settings.CONFIG
    runner = Runner(
        f"worker {socket.gethostname()}:{os.getpid()}",
        config.lease_seconds,
        SlotSizes(children=config.children or max((os.cpu_count() or 1) // workers, 1)),
        drain=drain,
        patience=PATIENCE * (number - 1),
        on_tick=on_tick,
    )
    loop = asyncio.get_running_loop()
    stops: list[asyncio.Task[None]] = []
    loop.add_signal_handler(signal.SIGTERM, lambda: stops.append(loop.create_task(runner.stop(config.stop_grace))))
    # SIGTERM came before the handler above was there.
    if stopping():
        return
    renewer = LeaseRenewer(runner, kind="runner")
    renewer.start()
    await runner.run()
    # After the runner: the last outcomes are recorded under renewed leases.
    await asyncio.to_thread(renewer.stop)


def _run_maintenance(on_tick: Callable[[], None], stopping: Callable[[], bool]) -> None:
    start_side_duties()
    Maintenance().run(on_tick, stopping)
