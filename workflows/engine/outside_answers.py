"""Reports of outside workers about their steps, and the end of a wait without a report.

A step that is being posted to its outside worker is still held by our worker, by a lease. An answer that arrives
before the request is through ends the attempt: what our worker records afterwards is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import transaction

from aiworkstation.access.quota import OverQuota
from workflows import tools
from workflows.engine.claims import Claim, as_claim
from workflows.engine.outcomes import Outcome
from workflows.engine.query import rows_of
from workflows.engine.reaper import ENGINE
from workflows.engine.settling import lock, lock_free, settle_ended
from workflows.engine.stored_json import dump
from workflows.engine.turn import outcome_fields
from workflows.errors import StepError
from workflows.models import LargeJson, StepStatus
from workflows.network import secrets, webhooks

BATCH = 100
"""How many executions whose time is up are handled in one transaction."""

# An attempt that an outside worker may answer: it is being posted, it was posted, or it continues under the same number
# after a crash, a stop or a busy answer.
_OPEN = """(
  s.status = 'running' OR s.answer_by IS NOT NULL OR (s.status IN ('ready', 'waiting') AND s.repeats_attempt))"""

OPEN_CLAIM = (
    f"SELECT unnest(workflow_claim_details(ARRAY[s.id])) FROM workflow_steps s WHERE s.id = %(step)s AND {_OPEN}"
)

# Deliveries overtake each other, so the time of the signature orders them. It counts whole seconds. Within one second,
# the greatest progress counts as the latest.
_IS_LATEST = """(
  coalesce(%(signed_at)s::timestamptz > s.reported_at, true)
  OR (%(signed_at)s::timestamptz = s.reported_at AND coalesce(%(progress)s::int >= s.progress, true)))"""

# Any callback restarts the clock. Returns whether it was the latest.
SIGN_OF_LIFE = f"""
UPDATE workflow_steps s SET
  progress = CASE WHEN is_latest THEN coalesce(%(progress)s::int, s.progress) ELSE s.progress END,
  message = CASE WHEN is_latest THEN coalesce(%(message)s::text, s.message) ELSE s.message END,
  reported_at = greatest(%(signed_at)s::timestamptz, s.reported_at),
  answer_by = CASE WHEN s.answer_by IS NOT NULL THEN least(
    clock_timestamp() + s.silence_seconds * interval '1 second',
    s.started_at + s.timeout_seconds * interval '1 second') END
FROM (SELECT {_IS_LATEST} AS is_latest FROM workflow_steps s WHERE s.id = %(step)s) report
WHERE s.id = %(step)s AND {_OPEN}
RETURNING is_latest
"""

RECORD_ANSWERS = """
SELECT executions, statuses FROM workflow_record(
  %(outcomes)s::json, %(outputs)s::text[], true, '{}', NULL, NULL, %(actor)s::text)
"""

SILENT = "SELECT DISTINCT execution_id FROM workflow_steps WHERE answer_by < statement_timestamp() LIMIT %(limit)s"
OVERDUE = """
SELECT unnest(workflow_claim_details(ARRAY(
  SELECT id FROM workflow_steps
  WHERE execution_id = ANY(%(executions)s::uuid[]) AND answer_by < statement_timestamp())))
"""


class Reception(StrEnum):
    """The effect of a callback."""

    ACCEPTED = "accepted"
    IGNORED = "ignored"  # a report of progress that a later one has overtaken
    REFUSED = "refused"  # no attempt of the step waits for it


@dataclass(frozen=True, slots=True)
class Answer:
    """A callback. `status` is running, completed (with `output`) or failed (with `error`).

    An answer without a `token` is for the first attempt.
    """

    status: StepStatus
    signed_at: datetime
    token: str | None = None
    progress: int | None = None
    message: str | None = None
    output: Any = None
    error: StepError | None = None

    def is_for(self, claim: Claim) -> bool:
        tool = tools.get(claim.tool)
        if tool is None or not tool.is_answered_outside or claim.waits_for_person:
            return False
        if self.token is None:
            return claim.attempt == 1
        return webhooks.is_callback_token(self.token, claim.step_id, claim.attempt)

    def outcome(self, claim: Claim) -> Outcome | None:
        """None if the outside worker is still at work. Secrets that it was sent are taken out."""
        sent = secrets.known_values(claim.arguments)
        if (error := self.error) is not None:
            redacted = StepError(secrets.redact(error.message, sent), code=error.code, retryable=error.retryable)
            return Outcome.failed(claim, redacted)
        if self.status == StepStatus.COMPLETED:
            return Outcome.completed(claim, secrets.redact(self.output, sent))
        return None


@transaction.atomic
def answer(execution: UUID, step: UUID, given: Answer, *, actor: str) -> Reception:
    """Records an outside worker's answer."""
    lock([execution])
    claims = [as_claim(row[0]) for row in rows_of(OPEN_CLAIM, step=step)]
    if not claims or not given.is_for(claims[0]):
        return Reception.REFUSED
    (claim,) = claims
    message = None if given.message is None else secrets.redact(given.message, secrets.known_values(claim.arguments))
    report = {"progress": given.progress, "message": message, "signed_at": given.signed_at}
    ((is_latest,),) = rows_of(SIGN_OF_LIFE, step=step, **report)
    outcome = given.outcome(claim)
    if outcome is not None:
        record_answers([_with_room(outcome)], actor=actor)
    return Reception.ACCEPTED if outcome or is_latest else Reception.IGNORED


def _with_room(outcome: Outcome) -> Outcome:
    """Counts a large output against its owner's quota. Without room, the step fails."""
    claim, size = outcome.claim, len((outcome.output or "").encode())
    try:
        if LargeJson.is_counted(size, claim.attempt):
            LargeJson.take_room(claim.owner_id, claim.execution_id, claim.step_id, size)
    except OverQuota as error:
        return Outcome.failed(claim, StepError(str(error), code=OverQuota.code, retryable=False))
    return outcome


@transaction.atomic
def end_silence(*, actor: str = ENGINE) -> int:
    """Fails the attempts to which no outside worker or person answered in time. Returns how many."""
    silent = [row[0] for row in rows_of(SILENT, limit=BATCH)]
    # A job that is locked now is looked at in the next round.
    executions = lock_free(silent) if silent else []
    if not executions:
        return 0
    # Read again under the locks: an answer may have arrived meanwhile.
    overdue = [as_claim(row[0]) for row in rows_of(OVERDUE, executions=executions)]
    record_answers([Outcome.failed(claim, _silence(claim)) for claim in overdue], actor=actor)
    return len(overdue)


def _silence(claim: Claim) -> StepError:
    if claim.waits_for_person:
        message = "Nobody approved or rejected the step in time. Retry the step to ask again."
        return StepError(message, code="approval_expired", retryable=False)
    return StepError("No callback came from the outside worker within the step's timeoutSeconds.", code="no_answer")


def record_answers(outcomes: Sequence[Outcome], *, actor: str) -> None:
    """The caller holds the executions' locks and has seen that the attempts are open, so none is refused."""
    ((executions, statuses),) = rows_of(
        RECORD_ANSWERS,
        outcomes=dump([outcome_fields(outcome) for outcome in outcomes]),
        outputs=[outcome.output for outcome in outcomes],
        actor=actor,
    )
    settle_ended(executions, statuses, actor=actor)
