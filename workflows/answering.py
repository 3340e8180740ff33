"""What outside workers say of the steps that they have, and what follows when they say nothing.

The order of locks and the rest of the rules are those of `engine`. The worker that posts a step holds it by a lease
until the request is through; an answer that comes earlier ends the attempt, and what that worker records afterwards
finds the step no longer running.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from workflows import secrets, tools, webhooks
from workflows import statements as sql
from workflows.errors import StepError
from workflows.models import StepStatus
from workflows.settling import lock, lock_free, settle_ended
from workflows.steps import Claim, Outcome, as_claim, completed, dump, failed
from workflows.transaction import Note, Part, Query, Verb
from workflows.turn import described

BATCH = 100
"""Executions whose silence ends in one transaction."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A callback. `status` is running, completed or failed; `error` is there with the last, `output` with completed.

    Without `token` it is for the first attempt.
    """

    status: StepStatus
    token: str | None = None
    progress: int | None = None
    message: str | None = None
    output: Any = None
    error: StepError | None = None

    def is_for(self, claim: Claim) -> bool:
        tool = tools.get(claim.tool)
        if tool is None or not tool.is_answered_outside:
            return False
        if self.token is None:
            return claim.attempt == 1
        return webhooks.is_callback_token(self.token, claim.step_id, claim.attempt)

    def outcome(self, claim: Claim) -> Outcome | None:
        """None where the worker goes on. The secrets that it was sent are taken out."""
        sent = secrets.known(claim.arguments)
        if (error := self.error) is not None:
            told = StepError(secrets.redact(error.message, sent), code=error.code, retryable=error.retryable)
            return failed(claim, told)
        if self.status == StepStatus.COMPLETED:
            return completed(claim, secrets.redact(self.output, sent))
        return None


def answering(execution: UUID, step: UUID, answer: Answer, *, actor: str) -> Verb[bool]:
    _, rows = yield [lock([execution]), Query(sql.ANSWERED, {"step": step})]
    claims = [as_claim(row[0]) for row in rows]
    if not claims or not answer.is_for(claims[0]):
        return False, []
    claim = claims[0]
    message = None if answer.message is None else secrets.redact(answer.message, secrets.known(claim.arguments))
    yield [Query(sql.SIGN_OF_LIFE, {"step": step, "progress": answer.progress, "message": message})]
    outcome = answer.outcome(claim)
    notes = (yield from _end([outcome], actor=actor)) if outcome is not None else []
    return True, notes


def ending_silence(*, actor: str) -> Verb[int]:
    (rows,) = yield [Query(sql.SILENT, {"limit": BATCH})]
    executions = (yield from lock_free([row[0] for row in rows])) if rows else []
    if not executions:
        return 0, []
    (overdue,) = yield [Query(sql.OVERDUE, {"executions": executions})]
    notes = yield from _end([failed(as_claim(row[0]), _silence()) for row in overdue], actor=actor)
    return len(overdue), notes


def _silence() -> StepError:
    return StepError("No callback came from the outside worker within the step's timeoutSeconds.", code="no_answer")


def _end(outcomes: Sequence[Outcome], *, actor: str) -> Part[list[Note]]:
    """Under the executions' locks, and of attempts that were just seen to be open: none is refused."""
    params = {
        "outcomes": dump([described(outcome) for outcome in outcomes]),
        "outputs": [outcome.output for outcome in outcomes],
        "actor": actor,
    }
    (((executions, statuses),),) = yield [Query(sql.RECORD_ANSWERS, params)]
    return (yield from settle_ended(executions, statuses, actor=actor))
