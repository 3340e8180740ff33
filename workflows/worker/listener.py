"""The listener of a runner: notifications, cancelled steps, cool-downs, and the progress that steps report.

It has one connection of its own. A lost notification costs little: the listener also looks once a second.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from psycopg import AsyncConnection

from workflows.database_connections import LOST, RECONNECT_SECONDS, connect
from workflows.engine.claims import Claim
from workflows.engine.leases import COOLDOWNS, STILL_HELD, STORE_PROGRESS
from workflows.engine.notifications import CANCEL, COOLDOWN, WAKE
from workflows.engine.query import Row
from workflows.network import cooldowns

logger = logging.getLogger(__name__)

STORE_PROGRESS_EVERY = 0.5
LOOK_EVERY = 1.0


@dataclass(slots=True)
class StepProgress:
    """The latest progress that a step reported: percent, or None to leave it as it is, and a message."""

    percent: int | None = None
    message: str = ""
    is_new: bool = False


class HeldStep(Protocol):
    claim: Claim
    progress: StepProgress


class NotifiedRunner(Protocol):
    """The part of a runner that the listener needs."""

    @property
    def name(self) -> str: ...
    @property
    def held(self) -> Mapping[UUID, HeldStep]: ...
    def wake(self, slot: str = "") -> None: ...
    def cut_off(self, tokens: list[UUID], stopped_as: str) -> None: ...


class Listener:
    """Serves one runner until it is cancelled. It reconnects as often as it must."""

    def __init__(self, runner: NotifiedRunner) -> None:
        self.runner = runner

    async def run(self) -> None:
        while True:
            try:
                async with await connect("listen", f"{self.runner.name} listen") as connection:
                    await connection.execute(f"LISTEN {WAKE}; LISTEN {CANCEL}; LISTEN {COOLDOWN}")
                    await self._listen(connection)
            except LOST as error:
                logger.warning("%s: notifications: %s", self.runner.name, str(error).strip())
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self, connection: AsyncConnection[Row]) -> None:
        looked_at = 0.0
        # What was notified before LISTEN, or while the connection was lost, is unknown: look at everything once.
        self.runner.wake()
        while True:
            # Collect them first: while `notifies` is running, it holds the connection.
            received = [each async for each in connection.notifies(timeout=STORE_PROGRESS_EVERY, stop_after=1)]
            for each in received:
                await self._handle(connection, each.channel, each.payload)
            await self._store_progress(connection)
            if time.monotonic() - looked_at >= LOOK_EVERY:
                looked_at = time.monotonic()
                await self._cut_off_lost(connection)
                await self._read_cooldowns(connection)

    async def _handle(self, connection: AsyncConnection[Row], channel: str, payload: str) -> None:
        if channel == WAKE:
            self.runner.wake(payload)
        elif channel == COOLDOWN:
            await self._read_cooldowns(connection)
        else:
            execution = UUID(payload)
            held = self.runner.held.items()
            self.runner.cut_off([token for token, step in held if step.claim.execution_id == execution], "cancelled")

    async def _store_progress(self, connection: AsyncConnection[Row]) -> None:
        new = [step for step in self.runner.held.values() if step.progress.is_new]
        if not new:
            return
        for step in new:
            # Before the statement: progress that a tool reports while it runs is sent with the next one.
            step.progress.is_new = False
        await connection.execute(
            STORE_PROGRESS,
            {
                "steps": [step.claim.step_id for step in new],
                "tokens": [step.claim.token for step in new],
                "progress": [step.progress.percent for step in new],
                "messages": [step.progress.message.replace("\0", "")[:500] for step in new],
            },
        )

    async def _cut_off_lost(self, connection: AsyncConnection[Row]) -> None:
        """Stops steps that are no longer this runner's: cancelled, or claimed by another worker."""
        held = {token: step.claim.step_id for token, step in self.runner.held.items()}
        if not held:
            return
        cursor = await connection.execute(STILL_HELD, {"steps": list(held.values()), "tokens": list(held)})
        still_held = {row[0] for row in await cursor.fetchall()}
        # For a cancel whose notification got lost, and for leases that ran out. Nothing is recorded for either.
        self.runner.cut_off([token for token in held if token not in still_held], "cancelled")

    async def _read_cooldowns(self, connection: AsyncConnection[Row]) -> None:
        cursor = await connection.execute(COOLDOWNS)
        cooldowns.start(dict(await cursor.fetchall()))
