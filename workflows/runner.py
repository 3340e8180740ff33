"""The runner: one event loop that claims steps, runs them side by side, and records how they ended.

One committer writes for the whole process: whatever outcomes and free slots are waiting go into one `turn`, one commit.
A lane keeps its kind of slot for the steps that follow one another, until nothing of that kind is ready or its slice of
time is over; then the execution's message stands at the end of its queue.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import psycopg
from psycopg import AsyncConnection

from aiworkstation.ids import uuid7
from workflows import tools
from workflows.alone import perform_alone
from workflows.attending import Attendant, Report
from workflows.database import connect
from workflows.engine import releasing
from workflows.performing import Performer
from workflows.slots import Ended, Kind, Sizes, Slots
from workflows.steps import Claim, Outcome, returned
from workflows.transaction import Row, run_async
from workflows.turn import Holder, Wanted, Worked, turn

logger = logging.getLogger(__name__)

POLL = 2.0
"""Seconds between looks at the queue that no notification asked for."""
RECONNECT = 0.5
SIBLINGS = 4
GATHER = 0.002
"""Seconds between two turns while at least `SIBLINGS` steps run: a commit for what ends meanwhile, as PostgreSQL's
`commit_delay` does it. A turn costs as much as some ten steps in it, so a busy machine does half as much again.
"""
LOST = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.IdleInTransactionSessionTimeout)
SAFE = 0.8
"""The part of a lease for which its holder may rely on it."""


@dataclass(slots=True)
class Running:
    """A step that this process holds. `ending` says why its task was cut off, if it was.

    `since` is when its lane began, `claimed` when its claim was sent.
    """

    claim: Claim
    kind: Kind
    since: float
    claimed: float
    report: Report = field(default_factory=Report)
    task: asyncio.Task[None] | None = None
    ending: str = ""


class Runner:
    """`only` restricts it to one execution: it ends when nothing of that is ready. With `drain` it ends when nothing is
    due at all. While it is idle it leaves what it hears of to others for `patience` seconds.
    """

    def __init__(
        self,
        name: str,
        lease: float,
        sizes: Sizes,
        *,
        only: UUID | None = None,
        drain: bool = False,
        patience: float = 0.0,
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.holder = Holder(uuid7(), name, lease, tools.known())
        self.slots = Slots(sizes)
        self.only = only
        self.drain = drain
        self.patience = patience
        self.on_tick = on_tick
        self.held: dict[UUID, Running] = {}
        self.ended: list[Ended] = []
        self.stopping = False
        self.ticked = self.renewed = time.monotonic()
        self.performer = Performer(threads=self.slots.kinds["thread"].most)
        self._work = asyncio.Event()
        self._next_due = float("inf")
        self._asked = 0.0
        self._offered: Sequence[Outcome] = ()
        self._connection: AsyncConnection[Row] | None = None

    # --- what its beat, its attendant and its supervisor ask

    @property
    def sizes(self) -> dict[str, int]:
        return self.slots.sizes

    def holds(self) -> dict[UUID, Running]:
        """By token."""
        return self.held.copy()

    def leases(self) -> dict[UUID, UUID]:
        """The steps to renew, by token: also those that have ended, until that is recorded. The beat asks for them."""
        held = {token: each.claim.step_id for token, each in self.held.copy().items()}
        ended = [*self._offered, *(each.outcome for each in self.ended.copy())]
        return held | {outcome.claim.token: outcome.claim.step_id for outcome in ended}

    def wake(self, slot: str = "") -> None:
        """Messages may be due, for this kind of slot or for any."""
        self.slots.wake(slot)
        self._work.set()

    def cut(self, tokens: Sequence[UUID], why: str) -> None:
        """Cuts steps off: `returned` gives them back, after `cancelled` nothing more is recorded."""
        for running in [self.held[token] for token in tokens if token in self.held]:
            running.ending = running.ending or why
            if running.task is not None:
                running.task.cancel()

    def lose(self) -> None:
        """Cuts off the steps whose leases could not be renewed: another worker may have them soon."""
        safe = time.monotonic() - self.holder.lease * SAFE
        late = [token for token, each in self.held.items() if max(each.claimed, self.renewed) < safe]
        if late:
            logger.error("%s: leases not renewed in time, stopping %d steps", self.name, len(late))
            self.cut(late, "returned")

    # --- life

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            around = [group.create_task(Attendant(self).run()), group.create_task(self._tick())]
            await self._commit_loop()
            for task in around:
                task.cancel()
        if self._connection is not None:
            await self._connection.close()
        await self.performer.close()

    async def stop(self, grace: float) -> None:
        """Takes no new step; what is not done after `grace` seconds goes back, its attempt not counted."""
        self.stopping = True
        self._work.set()
        deadline = time.monotonic() + grace
        while self.held and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        self.cut(list(self.held), "returned")

    async def _tick(self) -> None:
        while True:
            self.ticked = time.monotonic()
            self.on_tick()
            self.lose()
            await asyncio.sleep(min(1.0, self.holder.lease / 10))

    # --- the committer

    async def _commit_loop(self) -> None:
        while True:
            await self._wait_for_work()
            ended = self.ended
            self._offered = [each.outcome for each in ended]
            self.ended = []
            wanted = {} if self.stopping else self.slots.wanted(ended)
            if ended or wanted:
                worked = await self._turn(self._offered, list(wanted.values()))
                self._offered = ()
                self._begin(worked.claims, ended)
                for slot in worked.sent:
                    self.slots.wake(slot)
                if self.slots.learn(wanted, worked.picked):
                    self._next_due = time.monotonic() + (float("inf") if worked.next_due is None else worked.next_due)
                # Quick steps end here, so that the next commit takes them together.
                await asyncio.sleep(GATHER if len(self.held) >= SIBLINGS else 0)
            if self._has_nothing_left():
                return

    async def _wait_for_work(self) -> None:
        if self.ended or self._has_nothing_left() or (self.slots.may_pick and not self.stopping):
            return
        self._work.clear()
        rest = min(POLL, self._next_due - time.monotonic(), self.slots.rests)
        try:
            async with asyncio.timeout(max(rest, 0.005)):
                await self._work.wait()
            if not self.held:
                await asyncio.sleep(self.patience)
        except TimeoutError:
            self.slots.wake()

    def _has_nothing_left(self) -> bool:
        ends = self.stopping or ((self.only or self.drain) and not self.slots.may_pick)
        return bool(ends and not self.held and not self.ended)

    async def _turn(self, outcomes: Sequence[Outcome], wanted: list[Wanted]) -> Worked:
        """Offers the outcomes until the database has taken or refused them."""
        while True:
            try:
                if self._connection is None:
                    self._connection = await connect("engine", self.name)
                    await self._release_strays(outcomes)
                self._asked = time.monotonic()
                worked = await run_async(
                    self._connection, turn(self.holder, outcomes, wanted, only=self.only), is_one_statement=True
                )
                if worked.claims and time.monotonic() - self._asked > self.holder.lease * SAFE:
                    # The process was frozen, or the answer late: others may have these steps by now.
                    worked.claims.clear()
                    await self._release_strays(outcomes)
            except LOST as error:
                logger.warning("%s: database: %s", self.name, str(error).strip())
                await self._drop_connection()
                await asyncio.sleep(RECONNECT)
                for kind in wanted:
                    kind.since = None
            else:
                for outcome in worked.refused:
                    logger.warning("%s: result of step %s refused", self.name, outcome.claim.step_id)
                return worked

    async def _release_strays(self, outcomes: Sequence[Outcome]) -> None:
        """Claims whose COMMIT went through but whose answer got lost or is late: nobody runs them, so they go back."""
        assert self._connection is not None
        offered = [outcome.claim.token for outcome in outcomes]
        tokens = [*self.held, *offered, *(each.outcome.claim.token for each in self.ended)]
        strays = await run_async(self._connection, releasing(self.holder, tokens))
        if strays:
            logger.warning("%s: %d claims returned, whose answer got lost or was late", self.name, strays)

    async def _drop_connection(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    # --- a step

    def _begin(self, claims: list[Claim], ended: list[Ended]) -> None:
        lanes: dict[UUID, list[float]] = {}
        for each in ended:
            lanes.setdefault(each.outcome.claim.execution_id, []).append(each.since)
        now = time.monotonic()
        for claim in claims:
            since = lanes.get(claim.execution_id)
            running = Running(claim, self.slots.of(claim), since.pop() if since else now, self._asked)
            running.kind.busy += 1
            self.held[claim.token] = running
            running.task = asyncio.create_task(self._execute(running), name=f"step {claim.step_id}")

    async def _execute(self, running: Running) -> None:
        claim = running.claim

        def report(percent: int | None, message: str) -> None:
            running.report = Report(percent, message, is_new=True)

        loop = asyncio.get_running_loop()
        outcome: Outcome | None = None
        try:
            if running.kind.name == "alone":
                outcome = await perform_alone(claim, report)
            else:
                leave_slot = partial(loop.call_soon_threadsafe, self._leave_slot, running)
                outcome = await self.performer.perform(claim, report, leave_slot)
        except asyncio.CancelledError:
            if running.ending == "returned":
                outcome = returned(claim)
        finally:
            self.held.pop(claim.token, None)
            self._work.set()
        if outcome is None:
            running.kind.busy -= 1
            running.kind.hungry = True
        else:
            self.ended.append(Ended(outcome, running.kind, running.since))

    def _leave_slot(self, running: Running) -> None:
        # A thread may say so after its step was cut off.
        if running.claim.token in self.held:
            running.kind = self.slots.leave(running.kind)
            self._work.set()
