"""A runner's capacity: how many steps of each kind run at once, and who may have the slots.

There are four kinds of slots: coroutines for model and HTTP steps, threads for plain functions, child processes, and a
process of its own for each step that has seen crashes. Beyond the slots of each kind there is a reserve, a quarter of
them and at least one, for users who have nothing running anywhere. So a new user's workflow begins although another
user's long steps fill every slot.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from workflows import tools
from workflows.engine.claims import Claim
from workflows.engine.outcomes import Outcome
from workflows.engine.retry_policy import ALONE_AFTER
from workflows.engine.turn import SCAN_OVERLAP, Demand
from workflows.tools import Slot

TIME_SLICE = 1.0
"""Seconds for which a lane may go on before other executions have their turn."""
NEWCOMERS_EVERY = 0.25
"""Seconds between looks for newcomers while every slot is taken."""
FULL_SCAN_EVERY = 2.0
"""Seconds between looks at the whole queue. Looks in between begin where the last one that drained it ended: while a
long transaction is open anywhere, the index keeps what has been taken since, and reading it again is slow.
"""


@dataclass(frozen=True, slots=True)
class SlotSizes:
    """How many steps of each kind run at once in this process, without the reserve."""

    coroutines: int = 250
    threads: int = 4
    children: int = 1
    alone: int = max(4, os.cpu_count() or 1)
    """Each of these processes loads Django. A runner that was killed twice leaves many steps for them."""

    def by_kind(self) -> dict[Slot, int]:
        return {"async": self.coroutines, "thread": self.threads, "process": self.children, "alone": self.alone}


@dataclass(slots=True)
class SlotPool:
    """The slots of one kind.

    `may_have_work`: executions for this kind may be due. Times are by the monotonic clock: `drained_at` is when a look
    last took all that was due, `scanned_at` when one last read the whole queue.
    """

    kind: Slot
    size: int
    busy: int = 0
    may_have_work: bool = True
    newcomers_asked_at: float = 0.0
    drained_at: float = float("-inf")
    scanned_at: float = float("-inf")

    @property
    def free(self) -> int:
        return max(self.size - self.busy, 0)

    @property
    def capacity(self) -> int:
        """How many run at once at the most, the reserve included."""
        return self.size + max(self.size // 4, 1)

    @property
    def reserve(self) -> int:
        """Slots left for newcomers when the others are taken."""
        return self.capacity - self.busy

    @property
    def can_claim(self) -> bool:
        return self.may_have_work and (self.free > 0 or (self.reserve > 0 and self.newcomers_in <= 0))

    @property
    def newcomers_in(self) -> float:
        """Seconds until the next look for newcomers."""
        return self.newcomers_asked_at + NEWCOMERS_EVERY - time.monotonic()


@dataclass(slots=True)
class EndedStep:
    """A step that ended: its outcome, the pool of its slot, and since when its lane goes on (monotonic)."""

    outcome: Outcome
    pool: SlotPool
    lane_since: float


class Capacity:
    """The slots of a process."""

    def __init__(self, sizes: SlotSizes) -> None:
        self.pools = {kind: SlotPool(kind, size) for kind, size in sizes.by_kind().items()}

    @property
    def sizes(self) -> dict[str, int]:
        return {pool.kind: pool.size for pool in self.pools.values()}

    @property
    def can_claim(self) -> bool:
        return any(pool.can_claim for pool in self.pools.values())

    @property
    def newcomers_in(self) -> float:
        """Seconds until the next look for newcomers, if more work may be due than the slots can take."""
        return min((pool.newcomers_in for pool in self.pools.values() if pool.may_have_work), default=float("inf"))

    def pool_for(self, claim: Claim) -> SlotPool:
        return self.pools["alone" if claim.crashes >= ALONE_AFTER else tools.slot_of(claim.tool)]

    def leave_slot(self, pool: SlotPool) -> SlotPool:
        """Frees the slot of a step that goes on as a coroutine. Returns the pool that the step belongs to now."""
        coroutines = self.pools["async"]
        pool.busy -= 1
        # Above its size if it must be: the step runs already, and a coroutine is cheap.
        coroutines.busy += 1
        return coroutines

    def wake(self, slot: str = "") -> None:
        """Work of any age may be due, for this kind of slot or, if it names none, for any."""
        for pool in self.pools.values():
            if slot not in self.pools:
                pool.scanned_at = float("-inf")
            pool.may_have_work |= slot == pool.kind or slot not in self.pools

    def demands(self, ended: Sequence[EndedStep]) -> dict[Slot, Demand]:
        """Frees the slots of ended steps, except those of lanes that go on, and asks for steps for what is free."""
        now = time.monotonic()
        kept = dict.fromkeys(self.pools, 0)
        for each in ended:
            # Freed here and not when the step ends: until this turn, the slot is promised to the next step of its lane.
            each.pool.busy -= 1
            if now - each.lane_since < TIME_SLICE:
                each.outcome.keeps = each.pool.kind
                kept[each.pool.kind] += 1
            else:
                each.pool.may_have_work = True
        waiting = [pool for pool in self.pools.values() if pool.may_have_work]
        demands = {pool.kind: self._demand(pool, kept[pool.kind]) for pool in waiting}
        return {kind: demand for kind, demand in demands.items() if demand.free or demand.newcomers}

    def _demand(self, pool: SlotPool, kept: int) -> Demand:
        now = time.monotonic()
        demand = Demand(pool.kind, free=max(pool.free - kept, 0), asked_at=now)
        if now - pool.scanned_at < FULL_SCAN_EVERY:
            demand.since = now - pool.drained_at + SCAN_OVERLAP
        # Reset before the look, not after it: a `wake` from now on may be about work that this look does not see.
        pool.may_have_work = not demand.free
        if not demand.free and pool.newcomers_in <= 0:
            pool.newcomers_asked_at = now
            demand.newcomers = max(pool.reserve - kept, 0)
        return demand

    def note_found(self, demands: dict[Slot, Demand], found: Sequence[int]) -> bool:
        """Keeps what the demands found. True if one found nothing: look again when the next execution is due."""
        found_nothing = False
        for (kind, demand), number in zip(demands.items(), found, strict=True):
            pool = self.pools[kind]
            if demand.free > 0:
                pool.may_have_work |= number > 0
                found_nothing = found_nothing or number == 0
            if number < demand.free:
                pool.drained_at = demand.asked_at
                if demand.since is None:
                    pool.scanned_at = demand.asked_at
        return found_nothing
