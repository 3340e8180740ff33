"""A worker's turn: records how steps ended and claims the next ones, in one statement and one commit.

`sql/turn.sql` has its parts. Only this runs on the runner's own connection; every other verb runs on Django's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from aiworkstation.audit.origin import stamped
from workflows.engine.claims import Claim, as_claim
from workflows.engine.notifications import COOLDOWN, Notification, statement_for, wake
from workflows.engine.outcomes import Outcome
from workflows.engine.query import Row
from workflows.engine.settling import messages_for
from workflows.engine.stored_json import dump
from workflows.tools import Slot

TURN = """
SELECT workflow_turn(
  %(worker)s::uuid, %(actor)s::text, %(lease)s::float8, %(tools)s::text[], %(jobs)s::uuid[], %(messages)s::json,
  %(outcomes)s::json, %(outputs)s::text[], %(demands)s::json, %(only)s::uuid, %(cooldowns)s::json)
"""


SCAN_OVERLAP = 1.0
"""Seconds by which a look at the queue reaches back behind the look that drained it. It covers transactions that
stored an execution before that look but committed after it.
"""


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """The process that claims: its id, its name in the audit trail, its lease in seconds, and the tools that it has."""

    id: UUID
    name: str
    lease: float
    tools: tuple[str, ...]


@dataclass(slots=True)
class Demand:
    """How many steps of one kind of slot a worker can take, beside the lanes that go on.

    `newcomers` are slots for users who have nothing running; they count only if `free` is 0.
    With `since`, only executions that have been due for at most so many seconds are looked at.
    `asked_at` is when the demand was made, by the monotonic clock.
    """

    slot: Slot
    free: int = 0
    newcomers: int = 0
    since: float | None = None
    asked_at: float = 0.0


@dataclass(slots=True)
class TurnResult:
    """`refused` are outcomes that were not recorded, because the lease was lost.

    `found` is how many executions each demand found. If one found nothing, `next_due` is in how many seconds the next
    execution is due; None if none is. `woken` are the kinds of slots for which the turn put work into the queue.
    """

    claims: list[Claim]
    refused: list[Outcome]
    found: list[int]
    next_due: float | None = None
    woken: list[str] = field(default_factory=list)


async def take_turn(
    connection: AsyncConnection[Row],
    worker: WorkerInfo,
    outcomes: Sequence[Outcome],
    demands: Sequence[Demand],
    *,
    only: UUID | None = None,
) -> TurnResult:
    """Takes a turn and sends its notifications. The connection commits each statement by itself.

    `only` limits the claims to one execution: that of a stock cluster's message.
    """
    parameters = turn_parameters(worker, outcomes, demands, only=only)
    cursor = await connection.execute(TURN, parameters | {"actor": stamped(worker.name)})
    row = await cursor.fetchone()
    assert row is not None
    # The turn is committed now. If this process dies here, the claims have leases that run out, and the reaper returns
    # them.
    result = turn_result(row[0], outcomes)
    # A round trip of its own, after the commit: inside the turn, NOTIFY would make the commits of all workers queue up.
    if notifications := notifications_of(result, outcomes):
        await connection.execute(statement_for(notifications))
    return result


def turn_parameters(
    worker: WorkerInfo, outcomes: Sequence[Outcome], demands: Sequence[Demand], *, only: UUID | None = None
) -> dict[str, Any]:
    # Sorted, because every verb locks executions in the order of their ids.
    jobs = sorted({outcome.claim.execution_id for outcome in outcomes} | ({only} if only else set()))
    cooldowns = [outcome.cooldown for outcome in outcomes if outcome.cooldown]
    return {
        "worker": worker.id,
        "actor": worker.name,
        "lease": worker.lease,
        "tools": _array(worker.tools),
        "jobs": jobs,
        "messages": messages_for(jobs),
        "outcomes": dump([outcome_fields(outcome) for outcome in outcomes]),
        "outputs": [outcome.output for outcome in outcomes],
        "demands": dump([_demand_fields(demand) for demand in demands]),
        "only": only,
        "cooldowns": dump([{"key": key, "seconds": seconds} for key, seconds in cooldowns]) if cooldowns else None,
    }


def turn_result(answer: dict[str, Any], outcomes: Sequence[Outcome]) -> TurnResult:
    """From the JSON that `workflow_turn` returns."""
    # An outcome that an earlier turn recorded, whose answer got lost, is not refused: nothing is left to do for it.
    refused = set(answer["refused"])
    return TurnResult(
        claims=[as_claim(claim) for claim in answer["claims"]],
        refused=[outcome for outcome in outcomes if str(outcome.claim.step_id) in refused],
        found=answer["found"],
        next_due=answer["next_due"],
        woken=list(dict.fromkeys(answer["wake"])),
    )


def notifications_of(result: TurnResult, outcomes: Sequence[Outcome]) -> list[Notification]:
    woken = wake(result.woken)
    return [*woken, Notification(COOLDOWN)] if any(outcome.cooldown for outcome in outcomes) else woken


def outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """What `workflow_record` reads. The output is passed beside it: it is JSON already, and may be long."""
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


def _demand_fields(demand: Demand) -> dict[str, Any]:
    return {"slot": demand.slot, "free": demand.free, "newcomers": demand.newcomers, "since": demand.since}


@cache
def _array(slugs: tuple[str, ...]) -> str:
    """A PostgreSQL array. It is the same in every turn of a worker, so it is written once."""
    return "{" + ",".join(f'"{slug}"' for slug in slugs) + "}"
