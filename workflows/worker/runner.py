"""The runner: one event loop that claims steps, runs them side by side, and records how they ended.

One committer writes for the whole process: all outcomes and free slots that are waiting go into one turn, which is one
commit. A lane keeps its slot for the steps that follow one another, until nothing for that kind of slot is ready or its
time slice is over. Then the execution goes to the end of its queue.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from django import db
from psycopg import AsyncConnection

from aiworkstation.ids import uuid7
from workflows import engine, tools
from workflows.database_connections import LOST, RECONNECT_SECONDS, REJECTED, connect
from workflows.engine.claims import Claim
from workflows.engine.outcomes import Outcome
from workflows.engine.query import Row
from workflows.engine.turn import Demand, TurnResult, WorkerInfo, take_turn
from workflows.tools import Slot
from workflows.worker.capacity import Capacity, EndedStep, SlotPool, SlotSizes
from workflows.worker.crash_isolation import execute_alone
from workflows.worker.listener import Listener, StepProgress
from workflows.worker.step_executor import StepExecutor
from workflows.worker.threads import in_thread

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0
"""Between looks at the queue that no notification asked for."""
BATCH_FROM = 4
BATCH_SECONDS = 0.002
"""Between two turns while at least `BATCH_FROM` steps run: one commit for what ends meanwhile, like PostgreSQL's
`commit_delay`. A turn costs as much as some ten steps in it, so a busy machine gets half as much again done.
"""
TOOLS_EVERY = 10.0
"""Seconds between two checks of what this machine can run: a folder may be mounted or disappear."""
SAFE_SHARE = 0.8
"""The share of a lease for which its holder may rely on it."""


@dataclass(slots=True)
class RunningStep:
    """A step that this process holds. `stopped_as` is why its task was cut off: "returned" or "cancelled".

    Times are by the monotonic clock: `lane_since` is when its lane began, `claimed_at` when its claim was sent.
    """

    claim: Claim
    pool: SlotPool
    lane_since: float
    claimed_at: float
    progress: StepProgress = field(default_factory=StepProgress)
    task: asyncio.Task[None] | None = None
    has_begun: bool = False
    stopped_as: str = ""


def valid_percent(reported: Any) -> int | None:
    """What a tool reports, as the database stores it. None leaves the progress as it is."""
    try:
        return int(min(max(float(reported), 0.0), 100.0))
    except (TypeError, ValueError, OverflowError):
        return None


def valid_text(reported: Any) -> str:
    """Without halves of surrogate pairs, which no database takes."""
    return str(reported).encode("utf-8", "replace").decode()


class Runner:
    """Runs until `stop`. With `only` it serves one execution and ends when nothing of that is ready. With `drain` it
    ends when nothing is due at all. While it is idle it leaves new work to other runners for `patience` seconds.
    """

    def __init__(
        self,
        name: str,
        lease: float,
        sizes: SlotSizes,
        *,
        only: UUID | None = None,
        drain: bool = False,
        patience: float = 0.0,
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.identity = WorkerInfo(uuid7(), name, lease, tools.known_slugs())
        self.lacks: dict[str, str] = {}
        """The tools that cannot run on this machine, and why."""
        self.capacity = Capacity(sizes)
        self.only = only
        self.drain = drain
        self.patience = patience
        self.on_tick = on_tick
        self.held: dict[UUID, RunningStep] = {}
        """The steps that this process holds, keyed by claim token."""
        # Only the event loop's thread writes these two. The lease renewer's thread reads copies of them.
        self.ended: list[EndedStep] = []
        self.stopping = False
        self.is_drained = False
        """Staff asked it to take no new step. The lease renewer sets it, from its thread."""
        self.ticked_at = self.renewed_at = time.monotonic()
        self.executor = StepExecutor(threads=self.capacity.pools["thread"].capacity)
        self._work = asyncio.Event()
        self._next_due_at = float("inf")
        self._turn_began_at = 0.0
        self._offered: Sequence[Outcome] = ()
        self._connection: AsyncConnection[Row] | None = None

    # --- for its lease renewer, its listener and its supervisor

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def sizes(self) -> dict[str, int]:
        return self.capacity.sizes

    def leases(self) -> dict[UUID, UUID]:
        """The steps whose leases are to be renewed, by token: also ended ones, until their outcome is recorded.

        Called from the lease renewer's thread, so it copies before it reads.
        """
        held = {token: step.claim.step_id for token, step in self.held.copy().items()}
        ended = [*self._offered, *(each.outcome for each in self.ended.copy())]
        return held | {outcome.claim.token: outcome.claim.step_id for outcome in ended}

    def wake(self, slot: str = "") -> None:
        """Work may be due, for this kind of slot or, if it names none, for any."""
        self.capacity.wake(slot)
        self._work.set()

    def cut_off(self, tokens: Sequence[UUID], stopped_as: str) -> None:
        """Stops steps. "returned" gives them back to the queue; after "cancelled" nothing more is recorded."""
        for step in [self.held[token] for token in tokens if token in self.held]:
            step.stopped_as = step.stopped_as or stopped_as
            # A task that is cancelled before it begins runs none of its code, and the step would be held for ever.
            if step.task is not None and step.has_begun:
                step.task.cancel()

    def cut_off_expiring(self) -> None:
        """Stops the steps whose leases were not renewed: another worker may get them soon."""
        safe = time.monotonic() - self.identity.lease * SAFE_SHARE
        late = [token for token, step in self.held.items() if max(step.claimed_at, self.renewed_at) < safe]
        if late:
            logger.error("%s: leases not renewed in time, stopping %d steps", self.name, len(late))
            self.cut_off(late, "returned")

    # --- life

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            helpers = [group.create_task(Listener(self).run()), group.create_task(self._tick())]
            # Before the first turn, so that it claims no step that cannot run here.
            await self._look_at_tools()
            helpers.append(group.create_task(self._keep_looking_at_tools()))
            await self._commit_loop()
            # Only now: until the last outcome is recorded, steps need notifications and the watchdog needs ticks.
            for task in helpers:
                task.cancel()
        if self._connection is not None:
            await self._connection.close()
        await self.executor.close()

    async def stop(self, grace: float) -> None:
        """Takes no new step. A step that is not done after `grace` seconds goes back; its attempt does not count."""
        self.stopping = True
        self._work.set()
        deadline = time.monotonic() + grace
        # Polled, not awaited: the steps end in whatever order, and each of them also wakes the committer.
        while self.held and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        self.cut_off(list(self.held), "returned")

    async def _tick(self) -> None:
        was_drained = False
        while True:
            self.ticked_at = time.monotonic()
            self.on_tick()
            if was_drained and not self.is_drained:
                self.wake()
            was_drained = self.is_drained
            self.cut_off_expiring()
            await asyncio.sleep(min(1.0, self.identity.lease / 10))

    async def _keep_looking_at_tools(self) -> None:
        while True:
            await asyncio.sleep(TOOLS_EVERY)
            await self._look_at_tools()

    async def _look_at_tools(self) -> None:
        """Leaves steps whose tool cannot run on this machine to other workers."""
        try:
            lacks = await in_thread(self.executor.orm, tools.missing_here)
        except db.Error as lost:
            logger.warning("%s: database: %s", self.name, str(lost).strip())
            return
        if lacks == self.lacks:
            return
        for slug, why in lacks.items():
            logger.error("%s leaves steps of %s to other workers. %s", self.name, slug, why)
        self.lacks = lacks
        here = tuple(slug for slug in tools.known_slugs() if slug not in lacks)
        # A new object, because the lease renewer's thread may be reading the old one.
        self.identity = replace(self.identity, tools=here)
        self.wake()

    # --- the committer

    async def _commit_loop(self) -> None:
        while not self._has_nothing_left():
            await self._wait_for_work()
            # Swapped before anything is awaited: an outcome that arrives later belongs to the next turn.
            ended, self.ended = self.ended, []
            self._offered = [each.outcome for each in ended]
            demands = {} if self.stopping else self._demands(ended)
            if ended or demands:
                result = await self._turn(self._offered, list(demands.values()))
                # Until the commit is known, the leases of these steps are renewed, so that nobody else claims a step
                # whose outcome is under way.
                self._offered = ()
                self._begin(result.claims, ended)
                for slot in result.woken:
                    self.capacity.wake(slot)
                if self.capacity.note_found(demands, result.found):
                    self._next_due_at = time.monotonic() + (
                        float("inf") if result.next_due is None else result.next_due
                    )
                # Quick steps end here, so that the next turn takes them together.
                await asyncio.sleep(BATCH_SECONDS if len(self.held) >= BATCH_FROM else 0)

    def _demands(self, ended: Sequence[EndedStep]) -> dict[Slot, Demand]:
        demands = self.capacity.demands(ended)
        if not self.is_drained:
            return demands
        for each in ended:
            each.outcome.keeps = None  # no lane goes on
        return {}

    async def _wait_for_work(self) -> None:
        if self.ended or self._has_nothing_left() or (self.capacity.can_claim and not self.stopping):
            return
        # Nothing is awaited since the check above, so no wake-up is lost here.
        self._work.clear()
        seconds = min(POLL_SECONDS, self._next_due_at - time.monotonic(), self.capacity.newcomers_in)
        try:
            async with asyncio.timeout(max(seconds, 0.005)):
                await self._work.wait()
            if not self.held:
                await asyncio.sleep(self.patience)
        except TimeoutError:
            # Notifications can get lost, so the queue is read now and then without one.
            self.capacity.wake()

    def _has_nothing_left(self) -> bool:
        ends = self.stopping or ((self.only or self.drain) and not self.capacity.can_claim)
        return bool(ends and not self.held and not self.ended)

    async def _turn(self, outcomes: Sequence[Outcome], demands: list[Demand]) -> TurnResult:
        """Offers the outcomes until the database has accepted or refused them."""
        while True:
            try:
                if self._connection is None:
                    self._connection = await connect("engine", self.name)
                    await self._release_strays(outcomes)
                # Before the statement is sent: the leases that it grants count from a moment that cannot be earlier
                # than this.
                self._turn_began_at = time.monotonic()
                result = await take_turn(self._connection, self.identity, outcomes, demands, only=self.only)
                if result.claims and time.monotonic() - self._turn_began_at > self.identity.lease * SAFE_SHARE:
                    # The process was frozen, or the answer was late: others may have these steps by now.
                    result.claims.clear()
                    # Counted as ours by the database, but `_begin` never saw them.
                    await self._release_strays(outcomes)
            except REJECTED as error:
                logger.exception("%s: the database rejects a turn with %d outcomes", self.name, len(outcomes))
                return await self._turn_without_rejected(outcomes, demands, error)
            except (*LOST, psycopg.Error, db.Error) as error:
                logger.warning("%s: database: %s", self.name, str(error).strip())
                # It may have been committed: the same outcomes are offered again, and the tokens show which were
                # recorded.
                await self._drop_connection()
                await asyncio.sleep(RECONNECT_SECONDS if isinstance(error, LOST) else POLL_SECONDS)
                # The lost turn may have claimed steps that go back now, so the next search reads the whole queue.
                for demand in demands:
                    demand.since = None
            else:
                for outcome in result.refused:
                    logger.warning("%s: result of step %s refused", self.name, outcome.claim.step_id)
                return result

    async def _turn_without_rejected(
        self, outcomes: Sequence[Outcome], demands: list[Demand], error: psycopg.Error
    ) -> TurnResult:
        """After an error of the turn itself: whatever causes it must not stop the steps beside it.

        Each outcome is offered alone. One that is rejected alone becomes a failed attempt, with the reason. If that is
        rejected too, or if there was no outcome, a job's rows are at fault, and the job fails.
        """
        result = TurnResult([], [], [0] * len(demands))
        if len(outcomes) > 1 or (outcomes and demands):
            for outcome in outcomes:
                # Without the next step of its lane: nobody would begin it, and its rows may be at fault.
                outcome.keeps = None
                result.refused += (await self._turn([outcome], [])).refused
        elif outcomes and not outcomes[0].is_replacement:
            result.refused = (await self._turn([outcomes[0].replacement(error)], [])).refused
        else:
            await self._fail_broken_jobs([outcome.claim.execution_id for outcome in outcomes], error)
            await asyncio.sleep(RECONNECT_SECONDS)
        # The demands were not served.
        self.capacity.wake()
        return result

    async def _fail_broken_jobs(self, jobs: list[UUID], error: psycopg.Error) -> None:
        try:
            failed = await in_thread(
                self.executor.orm, partial(engine.fail_broken_jobs, self.identity, jobs, str(error), actor=self.name)
            )
            logger.error("%s: jobs with broken rows have failed: %s", self.name, failed)
        except db.Error as lost:
            # The next look at the queue tries again.
            logger.warning("%s: database: %s", self.name, str(lost).strip())

    async def _release_strays(self, outcomes: Sequence[Outcome]) -> None:
        """Gives back claims whose answer got lost or was late: nobody runs them."""
        offered = [outcome.claim.token for outcome in (*self._offered, *outcomes)]
        # Everything that this process still answers for. What the database assigns to it beyond that is a stray.
        tokens = [*self.held, *offered, *(each.outcome.claim.token for each in self.ended)]
        release = partial(engine.release_strays, self.identity.id, tokens, actor=self.name)
        if strays := await in_thread(self.executor.orm, release):
            logger.warning("%s: %d claims returned, because their answer got lost or was late", self.name, strays)

    async def _drop_connection(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    # --- a step

    def _begin(self, claims: list[Claim], ended: list[EndedStep]) -> None:
        lanes: dict[UUID, list[float]] = {}
        for each in ended:
            lanes.setdefault(each.outcome.claim.execution_id, []).append(each.lane_since)
        now = time.monotonic()
        for claim in claims:
            # A lane that continues keeps the time at which it began, so that its time slice comes to an end.
            since = lanes.get(claim.execution_id)
            step = RunningStep(claim, self.capacity.pool_for(claim), since.pop() if since else now, self._turn_began_at)
            step.pool.busy += 1
            self.held[claim.token] = step
            step.task = asyncio.create_task(self._execute(step), name=f"step {claim.step_id}")

    async def _execute(self, step: RunningStep) -> None:
        claim = step.claim

        def report(percent: int | None, message: str) -> None:
            step.progress = StepProgress(valid_percent(percent), valid_text(message), is_new=True)

        loop = asyncio.get_running_loop()
        outcome: Outcome | None = None
        step.has_begun = True
        try:
            if step.stopped_as:
                # The step was stopped between its claim and the first line of this task.
                raise asyncio.CancelledError
            if step.pool.kind == "alone":
                outcome = await execute_alone(claim, report)
            else:
                leave_slot = partial(loop.call_soon_threadsafe, self._leave_slot, step)
                outcome = await self.executor.execute(claim, report, leave_slot)
        except asyncio.CancelledError:
            # After "cancelled" there is no outcome: the verb that ended the job has written the step's row already.
            if step.stopped_as == "returned":
                outcome = Outcome.returned(claim)
        finally:
            # Before `ended` is filled, with nothing awaited in between: the renewer must find the step in one of the
            # two. It reads `held` first, so it can miss the step only for one renewal, which leaves the lease long
            # enough.
            self.held.pop(claim.token, None)
            self._work.set()
        if outcome is None:
            step.pool.busy -= 1
            # Nothing is recorded, so no turn would look for work for this slot.
            step.pool.may_have_work = True
        else:
            self.ended.append(EndedStep(outcome, step.pool, step.lane_since))

    def _leave_slot(self, step: RunningStep) -> None:
        # A thread may ask for it after its step was cut off.
        if step.claim.token in self.held:
            step.pool = self.capacity.leave_slot(step.pool)
            self._work.set()
