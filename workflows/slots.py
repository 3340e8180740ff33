"""Slots: how many steps of each kind run at once in a process, and who may take them.

Four kinds: coroutines for model and HTTP steps, threads for plain functions, child processes, and a process of its own
for each step that has seen crashes. Behind the slots of each kind stands a reserve, a quarter of them and at least one,
for users who have nothing running anywhere: a stranger's workflow begins although one user's long steps fill every
slot.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from workflows import tools
from workflows.retry import ALONE_AFTER
from workflows.steps import Claim, Outcome
from workflows.tools import Slot
from workflows.turn import Wanted

SLICE = 1.0
"""Seconds for which a lane may go on before others have their turn."""
NEWCOMERS_EVERY = 0.25
"""Seconds between looks for newcomers while every slot is taken."""
WHOLE_EVERY = 2.0
"""Seconds between looks at the whole queue. The others begin where the last one that took all that was due ended: what
has been taken since a long transaction began is still in the index, and is read over and over.
"""
OVERLAP = 1.0
"""Seconds by which a look reaches back behind that: for who took the time earlier than others but commits later."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many steps of each kind run at once in this process, without the reserve."""

    coroutines: int = 250
    threads: int = 4
    children: int = 1
    alone: int = max(4, os.cpu_count() or 1)
    """Each loads Django anew. A runner that was killed twice leaves as many steps for them as it had slots."""

    def by_kind(self) -> dict[Slot, int]:
        return {"async": self.coroutines, "thread": self.threads, "process": self.children, "alone": self.alone}


@dataclass(slots=True)
class Kind:
    """`hungry`: messages for it may be due. When `emptied`, none was left; at `whole` all of the queue was seen."""

    name: Slot
    size: int
    busy: int = 0
    hungry: bool = True
    looked: float = 0.0
    emptied: float = float("-inf")
    whole: float = float("-inf")

    @property
    def free(self) -> int:
        return max(self.size - self.busy, 0)

    @property
    def most(self) -> int:
        """How many run at once at the most, newcomers with them."""
        return self.size + max(self.size // 4, 1)

    @property
    def reserve(self) -> int:
        """Slots left for newcomers once the others are taken."""
        return self.most - self.busy

    @property
    def may_pick(self) -> bool:
        return self.hungry and (self.free > 0 or (self.reserve > 0 and self.rests <= 0))

    @property
    def rests(self) -> float:
        """Seconds until the next look for newcomers."""
        return self.looked + NEWCOMERS_EVERY - time.monotonic()


@dataclass(slots=True)
class Ended:
    """A step that ended: its outcome, its kind of slot, and since when its lane goes on."""

    outcome: Outcome
    kind: Kind
    since: float


class Slots:
    """The slots of a process."""

    def __init__(self, sizes: Sizes) -> None:
        self.kinds = {name: Kind(name, size) for name, size in sizes.by_kind().items()}

    @property
    def sizes(self) -> dict[str, int]:
        return {kind.name: kind.size for kind in self.kinds.values()}

    @property
    def may_pick(self) -> bool:
        return any(kind.may_pick for kind in self.kinds.values())

    @property
    def rests(self) -> float:
        """Seconds until somebody may pick, if more is due than the slots can take."""
        return min((kind.rests for kind in self.kinds.values() if kind.hungry), default=float("inf"))

    def of(self, claim: Claim) -> Kind:
        return self.kinds["alone" if claim.crashes >= ALONE_AFTER else tools.slot_of(claim.tool)]

    def leave(self, kind: Kind) -> Kind:
        """A step goes on as a coroutine: its slot is another's. Returns the kind that it is of now."""
        rest = self.kinds["async"]
        kind.busy -= 1
        rest.busy += 1
        return rest

    def wake(self, slot: str = "") -> None:
        """Messages may be due, for this kind of slot or for any, and then of any age."""
        for kind in self.kinds.values():
            if slot not in self.kinds:
                kind.whole = float("-inf")
            kind.hungry |= slot == kind.name or slot not in self.kinds

    def wanted(self, ended: Sequence[Ended]) -> dict[Slot, Wanted]:
        """What may be claimed now that these ended. Their slots are free but for the lanes that go on: see `keeps`."""
        now = time.monotonic()
        kept = dict.fromkeys(self.kinds, 0)
        for each in ended:
            each.kind.busy -= 1
            if now - each.since < SLICE:
                each.outcome.keeps = each.kind.name
                kept[each.kind.name] += 1
            else:
                each.kind.hungry = True
        hungry = [kind for kind in self.kinds.values() if kind.hungry]
        asked = {kind.name: self._asked(kind, kept[kind.name]) for kind in hungry}
        return {name: each for name, each in asked.items() if each.free or each.newcomers}

    def _asked(self, kind: Kind, kept: int) -> Wanted:
        now = time.monotonic()
        asked = Wanted(kind.name, free=max(kind.free - kept, 0), asked=now)
        if now - kind.whole < WHOLE_EVERY:
            asked.since = now - kind.emptied + OVERLAP
        # Whoever calls `wake` from now on tells of messages that this look may not see.
        kind.hungry = not asked.free
        if not asked.free and kind.rests <= 0:
            kind.looked = now
            asked.newcomers = max(kind.reserve - kept, 0)
        return asked

    def learn(self, wanted: dict[Slot, Wanted], found: Sequence[int]) -> bool:
        """A kind goes on picking while that finds messages. True where one found nothing: look when the next is due."""
        nothing = False
        for (name, asked), number in zip(wanted.items(), found, strict=True):
            kind = self.kinds[name]
            if asked.free > 0:
                kind.hungry |= number > 0
                nothing = nothing or number == 0
            if number < asked.free:
                kind.emptied = asked.asked
                kind.whole = asked.asked if asked.since is None else kind.whole
        return nothing
