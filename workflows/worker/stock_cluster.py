"""What a stock django-q2 cluster (`manage.py qcluster`) runs for a job's message: `settings.JOB_TASK`."""

import asyncio
import os
import socket
from uuid import UUID

from django.conf import settings

from aiworkstation.audit import origin
from workflows.worker.capacity import SlotSizes
from workflows.worker.lease_renewer import LeaseRenewer
from workflows.worker.runner import Runner


def run_execution(execution: str) -> None:
    """Runs steps of the execution one after another, in the cluster's own process, until none is ready."""
    origin.become_worker()
    name = f"qcluster {socket.gethostname()}:{os.getpid()}"
    asyncio.run(_run_lane(name, UUID(execution)))


async def _run_lane(name: str, execution: UUID) -> None:
    sizes = SlotSizes(coroutines=1, threads=1, children=1, alone=1)
    runner = Runner(name, settings.CONFIG.lease_seconds, sizes, only=execution)
    renewer = LeaseRenewer(runner, kind="qcluster")
    renewer.start()
    try:
        await runner.run()
    finally:
        await asyncio.to_thread(renewer.stop)
