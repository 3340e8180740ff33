"""Beside the committer: notifications, cancelled steps, cool-downs, and the progress that steps report.

One connection for all of it. What a lost notification did not say is seen by looking each second.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import psycopg
from psycopg import AsyncConnection

from workflows import cooldowns
from workflows import statements as sql
from workflows.database import connect
from workflows.settling import CANCEL, COOL, WAKE
from workflows.steps import Claim
from workflows.transaction import Row

logger = logging.getLogger(__name__)

REPORT_EVERY = 0.5
LOOK_EVERY = 1.0
RECONNECT = 0.5


@dataclass(slots=True)
class Report:
    """The latest progress of a step that has not been written yet: percent, or None to leave it, and a message."""

    percent: int | None = None
    message: str = ""
    is_new: bool = False


class Held(Protocol):
    """A step that the process holds."""

    claim: Claim
    report: Report


class Runner(Protocol):
    name: str

    def holds(self) -> dict[UUID, Any]: ...
    def wake(self, slot: str = "") -> None: ...
    def cut(self, tokens: list[UUID], why: str) -> None: ...


class Attendant:
    """Serves one runner; reconnects for ever."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    async def run(self) -> None:
        while True:
            try:
                async with await connect("listen", f"{self.runner.name} listen") as connection:
                    await connection.execute(f"LISTEN {WAKE}; LISTEN {CANCEL}; LISTEN {COOL}")
                    await self._attend(connection)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                logger.warning("%s: notifications: %s", self.runner.name, str(error).strip())
                await asyncio.sleep(RECONNECT)

    async def _attend(self, connection: AsyncConnection[Row]) -> None:
        looked = 0.0
        self.runner.wake()
        while True:
            # All of them first: while `notifies` goes on, it holds the connection.
            notes = [note async for note in connection.notifies(timeout=REPORT_EVERY, stop_after=1)]
            for note in notes:
                await self._hear(connection, note.channel, note.payload)
            await self._write_reports(connection)
            if time.monotonic() - looked >= LOOK_EVERY:
                looked = time.monotonic()
                await self._look_for_cancelled(connection)
                await self._read_cooldowns(connection)

    async def _hear(self, connection: AsyncConnection[Row], channel: str, payload: str) -> None:
        if channel == WAKE:
            self.runner.wake(payload)
        elif channel == COOL:
            await self._read_cooldowns(connection)
        else:
            execution = UUID(payload)
            held = self.runner.holds().items()
            self.runner.cut([token for token, each in held if each.claim.execution_id == execution], "cancelled")

    async def _write_reports(self, connection: AsyncConnection[Row]) -> None:
        new: list[Held] = [each for each in self.runner.holds().values() if each.report.is_new]
        if not new:
            return
        for each in new:
            each.report.is_new = False
        await connection.execute(
            sql.REPORT,
            {
                "steps": [each.claim.step_id for each in new],
                "tokens": [each.claim.token for each in new],
                "progress": [each.report.percent for each in new],
                "messages": [each.report.message.replace("\0", "")[:500] for each in new],
            },
        )

    async def _look_for_cancelled(self, connection: AsyncConnection[Row]) -> None:
        """Steps that are no longer this worker's."""
        held = {token: each.claim.step_id for token, each in self.runner.holds().items()}
        if not held:
            return
        cursor = await connection.execute(sql.STILL_MINE, {"steps": list(held.values()), "tokens": list(held)})
        mine = {row[0] for row in await cursor.fetchall()}
        self.runner.cut([token for token in held if token not in mine], "cancelled")

    async def _read_cooldowns(self, connection: AsyncConnection[Row]) -> None:
        cursor = await connection.execute(sql.COOLDOWNS)
        cooldowns.hear(dict(await cursor.fetchall()))
