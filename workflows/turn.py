"""A worker's turn: what has ended is recorded, and what comes next is claimed, in one statement and one commit.

What it does stands in sql/turn_2.sql; the order of locks and the rest of the rules are those of `engine`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

from workflows import statements as sql
from workflows.settling import COOL, WAKE, messages_for
from workflows.steps import Claim, Outcome, as_claim, dump
from workflows.tools import Slot
from workflows.transaction import Note, Query, Verb


@dataclass(slots=True)
class Wanted:
    """What fits in one kind of slot, beside the lanes that go on: how many slots are free.

    `newcomers` are slots for users who have nothing running, where none is free for all. It was `asked` at that time
    (monotonic), for messages that have been due for at most `since` seconds, or for all.
    """

    slot: Slot
    free: int = 0
    newcomers: int = 0
    since: float | None = None
    asked: float = 0.0


@dataclass(slots=True)
class Worked:
    """New claims, the outcomes that were refused because the lease was lost, and how many messages each kind found.

    `next_due` is in how many seconds the next message is due, where a kind found none; None for never. `sent` are the
    kinds of slots for which this turn put messages into the queue.
    """

    claims: list[Claim]
    refused: list[Outcome]
    picked: list[int]
    next_due: float | None = None
    sent: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that claims: its id, its name in the audit trail, its lease in seconds, and the tools that it has."""

    id: UUID
    name: str
    lease: float
    tools: tuple[str, ...]


def turn(
    holder: Holder, outcomes: Sequence[Outcome], wanted: Sequence[Wanted], *, only: UUID | None = None
) -> Verb[Worked]:
    """`only` limits the claims to one execution: a stock cluster's message names it."""
    jobs = sorted({outcome.claim.execution_id for outcome in outcomes} | ({only} if only else set()))
    cooldowns = [outcome.cooldown for outcome in outcomes if outcome.cooldown]
    params = {
        "worker": holder.id,
        "actor": holder.name,
        "lease": holder.lease,
        "tools": _array(holder.tools),
        "jobs": jobs,
        "messages": messages_for(jobs),
        "outcomes": dump([described(outcome) for outcome in outcomes]),
        "outputs": [outcome.output for outcome in outcomes],
        "kinds": dump([_described(kind) for kind in wanted]),
        "only": only,
        "cooldowns": dump([{"key": key, "seconds": seconds} for key, seconds in cooldowns]) if cooldowns else None,
    }
    ((row,),) = yield [Query(sql.TURN, params)]
    done = row[0]
    refused = set(done["refused"])
    worked = Worked(
        [as_claim(claim) for claim in done["claims"]],
        [outcome for outcome in outcomes if str(outcome.claim.step_id) in refused],
        done["found"],
        done["next_due"],
        list(dict.fromkeys(done["wake"])),
    )
    notes = [Note(WAKE, slot) for slot in worked.sent]
    return worked, [*notes, Note(COOL, "")] if cooldowns else notes


def _described(kind: Wanted) -> dict[str, Any]:
    return {"slot": kind.slot, "free": kind.free, "newcomers": kind.newcomers, "since": kind.since}


@cache
def _array(slugs: tuple[str, ...]) -> str:
    """As PostgreSQL writes it: the same in every turn, so written once."""
    return "{" + ",".join(f'"{slug}"' for slug in slugs) + "}"


def described(outcome: Outcome) -> dict[str, Any]:
    """What workflow_record takes. The output goes beside it: it is JSON already, and may be long."""
    return {
        "execution": str(outcome.claim.execution_id),
        "step": str(outcome.claim.step_id),
        "token": str(outcome.claim.token),
        "attempt": outcome.claim.attempt,
        "status": outcome.status.value,
        "action": outcome.action,
        "delay": outcome.delay,
        "repeats": outcome.repeats,
        "crashes": outcome.crashes,
        "waits": outcome.waits,
        "error": outcome.error,
        "model": outcome.model,
        "usage": outcome.usage,
        "silence": outcome.silence,
        "slot": outcome.keeps,
        "lane": outcome.claim.lane if outcome.keeps else None,
    }
