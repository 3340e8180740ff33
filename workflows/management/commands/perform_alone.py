"""The child of `workflows.alone`; not for the command line."""

import asyncio
import os
import pickle
import sys
from typing import Any

from django.core.management.base import BaseCommand

from workflows.alone import READY, write_frame
from workflows.performing import Performer, Report
from workflows.steps import Claim, Outcome


class Command(BaseCommand):
    help = "Performs one step for a runner: a claim on standard input, frames on standard output."

    def handle(self, *args: Any, **options: Any) -> None:
        # What a tool prints must not get among the frames.
        frames = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        claim: Claim = pickle.load(sys.stdin.buffer)
        write_frame(frames, READY)
        write_frame(frames, asyncio.run(_perform(claim, lambda *report: write_frame(frames, report))))


async def _perform(claim: Claim, report: Report) -> Outcome:
    performer = Performer(threads=1)
    try:
        return await performer.perform(claim, report)
    finally:
        await performer.close()
