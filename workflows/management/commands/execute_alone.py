"""`manage.py execute_alone`: the child process of `workflows.worker.crash_isolation`. It is not for users."""

import asyncio
import os
import pickle
import sys
from typing import Any

from django.core.management.base import BaseCommand

from aiworkstation.audit import origin
from workflows.engine.claims import Claim
from workflows.engine.outcomes import Outcome
from workflows.worker.crash_isolation import STARTED, write_frame
from workflows.worker.step_executor import ReportProgress, StepExecutor


class Command(BaseCommand):
    help = "Executes one step for a runner: a claim on standard input, frames on standard output."

    def handle(self, *args: Any, **options: Any) -> None:
        # What a tool prints goes to standard error, so that it does not mix with the frames.
        origin.become_worker()
        frames = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        claim: Claim = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own worker
        write_frame(frames, STARTED)
        write_frame(frames, asyncio.run(_execute(claim, lambda *report: write_frame(frames, report))))


async def _execute(claim: Claim, report: ReportProgress) -> Outcome:
    executor = StepExecutor(threads=1)
    try:
        return await executor.execute(claim, report)
    finally:
        await executor.close()
