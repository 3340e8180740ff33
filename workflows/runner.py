"""The runner: one event loop that claims steps, runs them side by side, and records how they ended.

One committer writes for the whole process: whatever outcomes and free slots are waiting go into one `turn`, one commit.
A lane keeps its kind of slot (a coroutine, a thread, a child process) for the steps that follow one another, until
nothing of that kind is ready or its slice of time is over; then the execution's message stands at the end of its queue.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
from psycopg import AsyncConnection

from aiworkstation.ids import uuid7
from workflows import statements as sql
from workflows import tools
from workflows.alone import perform_alone
from workflows.database import connect
from workflows.engine import releasing
from workflows.performing import Performer
from workflows.retry import DEFAULT
from workflows.settling import CANCEL, WAKE
from workflows.steps import Claim, Outcome, returned
from workflows.tools import MODEL_STEP, Slot
from workflows.transaction import Row, run_async
from workflows.turn import Holder, Wanted, Worked, turn

logger = logging.getLogger(__name__)

SLICE = 1.0
"""Seconds for which a lane may go on before others have their turn."""
POLL = 2.0
"""Seconds between looks at the queue that no notification asked for."""
REPORT_EVERY = 0.5
LOOK_EVERY = 1.0
RECONNECT = 0.5
ALONE_AFTER = DEFAULT.max_crashes - 1


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many steps of each kind of slot run at once in this process."""

    coroutines: int = 250
    threads: int = 4
    children: int = 1

    def of(self, kind: Slot) -> int:
        return {"async": self.coroutines, "thread": self.threads, "process": self.children}[kind]


@dataclass(slots=True)
class Kind:
    """A kind of slot: its tools, how many slots are taken, and whether messages for it may be due."""

    name: Slot
    tools: list[str]
    size: int
    busy: int = 0
    hungry: bool = True

    @property
    def free(self) -> int:
        return self.size - self.busy


@dataclass(slots=True)
class Running:
    """A step that this process holds. `ending` says why its task was cut off, if it was."""

    claim: Claim
    kind: Kind
    since: float
    task: asyncio.Task[None] | None = None
    report: tuple[int | None, str] | None = None
    ending: str = ""


@dataclass(slots=True)
class Ended:
    outcome: Outcome
    kind: Kind
    since: float


@dataclass(slots=True)
class Runner:
    """`only` restricts it to one execution: it ends when nothing of that is ready."""

    name: str
    lease: float
    sizes: Sizes
    only: UUID | None = None
    on_tick: Callable[[], None] = lambda: None
    holder: Holder = field(init=False)
    kinds: dict[Slot, Kind] = field(init=False)
    held: dict[UUID, Running] = field(init=False, default_factory=dict)
    ended: list[Ended] = field(init=False, default_factory=list)
    stopping: bool = field(init=False, default=False)
    next_due: float = field(init=False, default=0.0)
    ticked: float = field(init=False, default_factory=time.monotonic)
    work: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    performer: Performer = field(init=False)
    _connection: AsyncConnection[Row] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.holder = Holder(uuid7(), self.name, self.lease)
        self.kinds = _kinds(self.sizes)
        self.performer = Performer(threads=self.sizes.threads)

    # --- what the beat and the supervisor ask

    @property
    def slots(self) -> int:
        return sum(kind.size for kind in self.kinds.values())

    def tokens(self) -> dict[UUID, UUID]:
        """Token → step of what this process holds."""
        return {token: running.claim.step_id for token, running in self.held.copy().items()}

    # --- life

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            around = [group.create_task(self._listen()), group.create_task(self._tick())]
            await self._commit_loop()
            for task in around:
                task.cancel()
        if self._connection is not None:
            await self._connection.close()
        await self.performer.close()

    async def stop(self, grace: float) -> None:
        """Takes no new step; what is not done after `grace` seconds goes back, its attempt not counted."""
        self.stopping = True
        self.work.set()
        deadline = time.monotonic() + grace
        while self.held and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        self.cut(list(self.held.values()), "returned")

    def lose(self) -> None:
        """The leases could not be renewed: another worker may have the steps by now."""
        if self.held:
            logger.error("%s: leases not renewed in time, stopping %d steps", self.name, len(self.held))
            self.cut(list(self.held.values()), "returned")

    def cut(self, steps: list[Running], why: str) -> None:
        for running in steps:
            running.ending = running.ending or why
            if running.task is not None:
                running.task.cancel()

    async def _tick(self) -> None:
        while True:
            self.ticked = time.monotonic()
            self.on_tick()
            await asyncio.sleep(min(1.0, self.lease / 10))

    # --- the committer

    async def _commit_loop(self) -> None:
        while True:
            await self._wait_for_work()
            ended, self.ended = self.ended, []
            wanted = self._wanted(ended)
            if not ended and not wanted:
                if self.stopping and not self.held:
                    return
                continue
            worked = await self._turn([each.outcome for each in ended], list(wanted.values()))
            self._begin(worked.claims, ended)
            await self._after_pick(wanted, worked)
            if self.only and not self.held and not self.ended:
                return
            # Quick steps end here, so that the next commit takes them together.
            await asyncio.sleep(0)

    async def _wait_for_work(self) -> None:
        if self.ended or self._may_pick():
            return
        self.work.clear()
        idle = min(POLL, max(self.next_due - time.monotonic(), 0.01)) if self.next_due else POLL
        try:
            async with asyncio.timeout(idle):
                await self.work.wait()
        except TimeoutError:
            self._wake()

    def _wake(self) -> None:
        for kind in self.kinds.values():
            kind.hungry = True
        self.work.set()

    def _may_pick(self) -> bool:
        return not self.stopping and any(kind.hungry and kind.free > 0 for kind in self.kinds.values())

    def _wanted(self, ended: list[Ended]) -> dict[Slot, Wanted]:
        for each in ended:
            each.kind.busy -= 1
        if self.stopping:
            return {}
        wanted: dict[Slot, Wanted] = {}
        now = time.monotonic()
        for kind in self.kinds.values():
            own = [each for each in ended if each.kind is kind]
            lanes = [each.outcome.claim.execution_id for each in own if now - each.since < SLICE]
            kind.hungry |= len(lanes) < len(own)
            free = kind.free - len(lanes) if kind.hungry else 0
            if lanes or free > 0:
                wanted[kind.name] = Wanted(kind.tools, max(free, 0), lanes)
        return wanted

    async def _turn(self, outcomes: Sequence[Outcome], wanted: list[Wanted]) -> Worked:
        """Offers the outcomes until the database has taken or refused them."""
        while True:
            try:
                if self._connection is None:
                    self._connection = await connect("engine", self.name)
                    await self._release_strays(outcomes)
                worked = await run_async(self._connection, turn(self.holder, outcomes, wanted, only=self.only))
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                logger.warning("%s: database: %s", self.name, str(error).strip())
                await self._drop_connection()
                await asyncio.sleep(RECONNECT)
            else:
                for outcome in worked.refused:
                    logger.warning("%s: result of step %s refused", self.name, outcome.claim.step_id)
                return worked

    async def _release_strays(self, outcomes: Sequence[Outcome]) -> None:
        """Claims whose COMMIT went through but whose answer got lost: nobody runs them, so they go back."""
        assert self._connection is not None
        offered = [outcome.claim.token for outcome in outcomes]
        tokens = [*self.held, *offered, *(each.outcome.claim.token for each in self.ended)]
        strays = await run_async(self._connection, releasing(self.holder, tokens))
        if strays:
            logger.warning("%s: %d claims returned after a lost connection", self.name, strays)

    async def _drop_connection(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _after_pick(self, wanted: dict[Slot, Wanted], worked: Worked) -> None:
        """A kind goes on picking while that finds messages; with none, the loop sleeps until the next is due."""
        looked = False
        for (name, asked), found in zip(wanted.items(), worked.picked, strict=True):
            if asked.free > 0:
                self.kinds[name].hungry = found > 0
                looked = looked or found == 0
        if looked and not self._may_pick() and self._connection is not None:
            with contextlib.suppress(psycopg.OperationalError):
                cursor = await self._connection.execute(sql.NEXT_DUE)
                row = await cursor.fetchone()
                self.next_due = time.monotonic() + row[0] if row and row[0] is not None else 0.0

    def _begin(self, claims: list[Claim], ended: list[Ended]) -> None:
        lanes: dict[UUID, list[float]] = {}
        for each in ended:
            lanes.setdefault(each.outcome.claim.execution_id, []).append(each.since)
        now = time.monotonic()
        for claim in claims:
            since = lanes.get(claim.execution_id)
            running = Running(claim, self._kind_of(claim.tool), since.pop() if since else now)
            running.kind.busy += 1
            self.held[claim.token] = running
            running.task = asyncio.create_task(self._execute(running), name=f"step {claim.step_id}")

    def _kind_of(self, tool: str) -> Kind:
        return self.kinds[tools.slot_of(tool)]

    # --- a step

    async def _execute(self, running: Running) -> None:
        claim = running.claim

        def report(percent: int | None, message: str) -> None:
            running.report = (percent, message)

        outcome: Outcome | None = None
        try:
            perform = self.performer.perform if claim.crashes < ALONE_AFTER else perform_alone
            outcome = await perform(claim, report)
        except asyncio.CancelledError:
            if running.ending == "returned":
                outcome = returned(claim)
        finally:
            self.held.pop(claim.token, None)
            self.work.set()
        if outcome is None:
            running.kind.busy -= 1
            running.kind.hungry = True
        else:
            self.ended.append(Ended(outcome, running.kind, running.since))

    # --- notifications, cancelling, progress

    async def _listen(self) -> None:
        """Wakes up for messages, cuts cancelled steps off, and writes progress; reconnects for ever."""
        while True:
            try:
                async with await connect("listen", f"{self.name} listen") as connection:
                    await connection.execute(f"LISTEN {WAKE}; LISTEN {CANCEL}")
                    self._wake()
                    await self._attend(connection)
            except psycopg.OperationalError as error:
                logger.warning("%s: notifications: %s", self.name, str(error).strip())
                await asyncio.sleep(RECONNECT)

    async def _attend(self, connection: AsyncConnection[Row]) -> None:
        looked = time.monotonic()
        while True:
            async for note in connection.notifies(timeout=REPORT_EVERY, stop_after=1):
                self._hear(note.channel, note.payload)
            await self._write_reports(connection)
            if time.monotonic() - looked >= LOOK_EVERY:
                looked = time.monotonic()
                await self._look_for_cancelled(connection)

    def _hear(self, channel: str, payload: str) -> None:
        if channel == WAKE:
            self._wake()
        else:
            execution = UUID(payload)
            self.cut([each for each in self.held.values() if each.claim.execution_id == execution], "cancelled")

    async def _write_reports(self, connection: AsyncConnection[Row]) -> None:
        reported = [each for each in self.held.values() if each.report is not None]
        if not reported:
            return
        reports = [each.report or (None, "") for each in reported]
        for each in reported:
            each.report = None
        await connection.execute(
            sql.REPORT,
            {
                "steps": [each.claim.step_id for each in reported],
                "tokens": [each.claim.token for each in reported],
                "progress": [percent for percent, _ in reports],
                "messages": [message[:500] for _, message in reports],
            },
        )

    async def _look_for_cancelled(self, connection: AsyncConnection[Row]) -> None:
        """What a lost notification did not say: steps that are no longer this worker's."""
        held = self.tokens()
        if not held:
            return
        cursor = await connection.execute(sql.STILL_MINE, {"steps": list(held.values()), "tokens": list(held)})
        mine = {row[0] for row in await cursor.fetchall()}
        gone = [self.held[token] for token in held if token not in mine and token in self.held]
        self.cut(gone, "cancelled")


def _kinds(sizes: Sizes) -> dict[Slot, Kind]:
    kinds: dict[Slot, Kind] = {}
    for name in ("async", "thread", "process"):
        slugs = [tool.slug for tool in tools.all_tools() if tool.slot == name]
        if name == "async":
            slugs.append(MODEL_STEP)
        kinds[name] = Kind(name, slugs, sizes.of(name))
    return kinds
