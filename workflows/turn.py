"""A worker's turn: what has ended is recorded, and what comes next is claimed, in one commit.

The order of locks and the rest of the rules are those of `engine`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from workflows import statements as sql
from workflows.models import StepStatus
from workflows.settling import COOL, Changes, lock, settle
from workflows.steps import Claim, Outcome
from workflows.tools import Slot
from workflows.transaction import Note, Part, Query, Row, Verb


@dataclass(slots=True)
class Wanted:
    """What fits in one kind of slot: its tools, how many slots are free, and the lanes that go on.

    A lane is named by its execution; it keeps the slot of the step that it has just ended. `newcomers` are slots for
    users who have nothing running, where none is free for all.
    """

    tools: list[str]
    free: int = 0
    slot: Slot = "async"
    newcomers: int = 0
    lanes: list[UUID] = field(default_factory=list)


@dataclass(slots=True)
class Worked:
    """New claims, the outcomes that were refused because the lease was lost, and how many messages each kind found."""

    claims: list[Claim]
    refused: list[Outcome]
    picked: list[int]


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that claims: its id, its name in the audit trail, and its lease in seconds."""

    id: UUID
    name: str
    lease: float


def turn(
    holder: Holder, outcomes: Sequence[Outcome], wanted: Sequence[Wanted], *, only: UUID | None = None
) -> Verb[Worked]:
    """`only` limits the claims to one execution: a stock cluster's message names it."""
    locked = {outcome.claim.execution_id for outcome in outcomes} | ({only} if only else set())
    picking = [kind for kind in wanted if (kind.free or kind.newcomers) and only is None]
    queries = [lock(locked)] if locked else []
    if outcomes:
        queries.append(Query(sql.RECORD, outcome_columns(outcomes, actor=holder.name)))
    queries += [_pick(kind) for kind in picking]
    rows = yield queries
    picked = [[row[0] for row in result] for result in rows[len(rows) - len(picking) :]] if picking else []

    changes: dict[UUID, Changes] = {}
    refused: list[Outcome] = []
    if outcomes:
        recorded = {row[0]: row for row in rows[1]}
        for _, execution, status in recorded.values():
            changes.setdefault(execution, Changes()).add(status)
        refused = yield from _follow_up(outcomes, recorded, changes, holder)

    claims = yield from _claim(_places(wanted, picking, picked, only), holder)
    consumed = {execution for executions in picked for execution in executions} | ({only} if only else set())
    for execution in consumed | {claim.execution_id for claim in claims}:
        changes.setdefault(execution, Changes())
    notes = yield from settle(changes, actor=holder.name, consumed=consumed)
    notes += yield from _cool_down(outcomes)
    found = [len(picked[picking.index(kind)]) if kind in picking else 0 for kind in wanted]
    return Worked(claims, refused, found), notes


def _pick(kind: Wanted) -> Query:
    if kind.free:
        return Query(sql.PICK, {"slot": kind.slot, "tools": kind.tools, "limit": kind.free})
    return Query(sql.NEWCOMERS, {"slot": kind.slot, "tools": kind.tools, "limit": kind.newcomers})


def _cool_down(outcomes: Sequence[Outcome]) -> Part[list[Note]]:
    """What a provider asked for is told to all workers."""
    told = [outcome.cooldown for outcome in outcomes if outcome.cooldown]
    if not told:
        return []
    params = {"keys": [key for key, _ in told], "seconds": [seconds for _, seconds in told]}
    yield [Query(sql.COOL_DOWN, params)]
    return [Note(COOL, "")]


def outcome_columns(outcomes: Sequence[Outcome], *, actor: str) -> dict[str, Any]:
    """The parameters of statements.RECORD."""
    return {
        "actor": actor,
        "steps": [outcome.claim.step_id for outcome in outcomes],
        "tokens": [outcome.claim.token for outcome in outcomes],
        "statuses": [outcome.status.value for outcome in outcomes],
        "actions": [outcome.action for outcome in outcomes],
        "delays": [outcome.delay for outcome in outcomes],
        "repeats": [outcome.repeats for outcome in outcomes],
        "crashes": [outcome.crashes for outcome in outcomes],
        "waits": [outcome.waits for outcome in outcomes],
        "outputs": [outcome.output for outcome in outcomes],
        "errors": [outcome.error for outcome in outcomes],
        "models": [outcome.model for outcome in outcomes],
        "usages": [outcome.usage for outcome in outcomes],
        "silences": [outcome.silence for outcome in outcomes],
    }


def _follow_up(
    outcomes: Sequence[Outcome], recorded: dict[UUID, Row], changes: dict[UUID, Changes], holder: Holder
) -> Part[list[Outcome]]:
    """Skips what stands behind a failure, and tells refused outcomes from those recorded before a lost answer."""
    yield from skip_behind(recorded.values(), changes, actor=holder.name)
    missing = [outcome for outcome in outcomes if outcome.claim.step_id not in recorded]
    if not missing:
        return []
    (rows,) = yield [Query(sql.WHOSE, {"steps": [outcome.claim.step_id for outcome in missing]})]
    tokens: dict[UUID, UUID | None] = dict(rows)
    refused = [outcome for outcome in missing if tokens.get(outcome.claim.step_id) != outcome.claim.token]
    if refused:
        yield [_refusals(refused, holder)]
    return refused


def skip_behind(recorded: Iterable[Row], changes: dict[UUID, Changes], *, actor: str) -> Part[None]:
    """`recorded` are the rows of statements.RECORD; `changes` gain what was skipped behind those that failed."""
    failed = [step for step, _, status in recorded if status == StepStatus.FAILED]
    if failed:
        (rows,) = yield [Query(sql.SKIP, {"steps": failed, "actor": actor})]
        for execution, number in rows:
            changes[execution].add(StepStatus.SKIPPED, number)


def _refusals(refused: list[Outcome], holder: Holder) -> Query:
    return Query(
        sql.EVENTS,
        {
            "actor": holder.name,
            "actions": ["step.result_refused"] * len(refused),
            "objects": [f"step:{outcome.claim.step_id}" for outcome in refused],
            "executions": [outcome.claim.execution_id for outcome in refused],
            "changes": [
                Jsonb({"offered": outcome.status, "attempt": outcome.claim.attempt, "reason": "lease lost"})
                for outcome in refused
            ],
        },
    )


Places = list[tuple[list[str], dict[UUID, int]]]
"""For each kind of slot its tools, and how many steps of which execution may be claimed."""


def _places(wanted: Sequence[Wanted], picking: list[Wanted], picked: list[list[UUID]], only: UUID | None) -> Places:
    places: Places = []
    for kind in wanted:
        counts: dict[UUID, int] = {}
        for execution in kind.lanes:
            counts[execution] = counts.get(execution, 0) + 1
        if kind in picking:
            for execution in picked[picking.index(kind)]:
                counts[execution] = counts.get(execution, 0) + 1
        if only is not None and kind.free > 0:
            counts[only] = counts.get(only, 0) + 1
        if counts:
            places.append((kind.tools, counts))
    return places


def _claim(places: Places, holder: Holder) -> Part[list[Claim]]:
    if not places:
        return []
    results = yield [
        Query(
            sql.CLAIM,
            {
                "executions": list(counts),
                "counts": list(counts.values()),
                "tools": tools,
                "tokens": [uuid4() for _ in range(sum(counts.values()))],
                "worker": holder.id,
                "lease": holder.lease,
                "actor": holder.name,
            },
        )
        for tools, counts in places
    ]
    return [Claim(*row) for rows in results for row in rows]
