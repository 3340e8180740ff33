"""A runner in the test's process. The test needs a database with transactions of its own."""

import asyncio
from collections.abc import Awaitable, Callable

from django.db import connection

from workflows.models import WorkflowExecution
from workflows.worker.capacity import SlotSizes
from workflows.worker.lease_renewer import LeaseRenewer
from workflows.worker.runner import Runner


def work(
    *executions: WorkflowExecution,
    during: Callable[[Runner], Awaitable[None]] | None = None,
    sizes: SlotSizes | None = None,
    lease: float = 30,
    limit: float = 60,
    until_waiting: bool = False,
) -> None:
    """Runs a runner until the executions are finished, or wait for an answer."""

    async def main() -> None:
        runner = Runner("worker test", lease, sizes or SlotSizes(coroutines=16))
        renewer = LeaseRenewer(runner, kind="runner")
        renewer.start()
        running = asyncio.create_task(runner.run())
        try:
            async with asyncio.timeout(limit):
                if during:
                    await during(runner)
                while await asyncio.to_thread(unfinished):
                    await asyncio.sleep(0.02)
        finally:
            await runner.stop(5)
            await asyncio.wait_for(running, limit)
            await asyncio.to_thread(renewer.stop)

    def unfinished() -> bool:
        try:
            rows = WorkflowExecution.objects.filter(pk__in=[e.pk for e in executions]).unfinished()
            if until_waiting:
                rows = rows.exclude(status="waiting", steps__answer_by__isnull=False)
            return rows.exists()
        finally:
            connection.close()

    asyncio.run(main())
    for execution in executions:
        execution.refresh_from_db()
