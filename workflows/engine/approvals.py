"""Questions to people: a step waits for an approval or a rejection, holds nothing meanwhile, then continues or fails.

The question is in `approval` of the step: `{"question", "group"}`. The answer adds `answer` (approved or rejected),
`answeredBy`, `comment` and `until`, the time until which it could be given.
"""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from django.db import transaction

from workflows.engine.claims import Claim, as_claim
from workflows.engine.outcomes import Outcome
from workflows.engine.outside_answers import OPEN_CLAIM, record_answers
from workflows.engine.query import rows_of
from workflows.engine.settling import lock
from workflows.engine.stored_json import dump
from workflows.errors import StepError
from workflows.tools.approval import Approval

ASK = """
UPDATE workflow_steps SET approval = %(approval)s::jsonb
WHERE id = %(step)s AND token = %(token)s AND status = 'running'
"""

# Only the first answer counts, and only in time. Otherwise, no row is returned.
ANSWER = """
WITH answered AS (
  UPDATE workflow_steps s SET
    approval = s.approval || %(answer)s::jsonb || jsonb_build_object('until', s.answer_by),
    arguments = coalesce(%(arguments)s::jsonb, s.arguments)
  WHERE s.id = %(step)s AND s.execution_id = %(execution)s AND s.status = 'waiting'
    AND s.answer_by > clock_timestamp() AND s.approval IS NOT NULL AND NOT s.approval ? 'answer'
  RETURNING s.id, s.execution_id, s.attempt, s.approval
), events AS (
  INSERT INTO audit_events (actor, action, object, execution_id, changes)
  SELECT %(actor)s, %(action)s, 'step:' || id, execution_id,
    jsonb_build_object('attempt', attempt, 'question', approval->'question') || %(changes)s::jsonb
  FROM answered
)
SELECT id FROM answered
"""


@dataclass(frozen=True, slots=True)
class PersonalAnswer:
    """An approval or a rejection. `arguments`, unless None, replace those that were shown."""

    answer: Literal["approved", "rejected"]
    by: str
    comment: str = ""
    arguments: Any = None

    def outcome(self, claim: Claim) -> Outcome:
        if self.answer == "rejected":
            said = f": {self.comment}" if self.comment else "."
            return Outcome.failed(claim, StepError(f"{self.by} said no{said}", code="rejected", retryable=False))
        if claim.tool != Approval.slug:
            return Outcome.approved(claim)
        shown = (claim.arguments or {}).get("show")
        arguments = shown if self.arguments is None else self.arguments
        output = {"approved": True, "by": self.by, "comment": self.comment, "arguments": arguments}
        return Outcome.completed(claim, output)


def ask(claim: Claim, question: str, group: str) -> None:
    """Stores the question of a running step, before it is recorded that the step waits."""
    approval = {"question": question, "group": group}
    # No lock: the row is this worker's own as long as it has the token. If the process dies before the outcome is
    # recorded, the step runs again and asks again.
    rows_of(ASK, step=claim.step_id, token=claim.token, approval=dump(approval))


@transaction.atomic
def answer_approval(execution: UUID, step: UUID, given: PersonalAnswer, *, actor: str) -> bool:
    """Records a person's answer. Returns False if the step waits for no answer: it has one, or its time is up.

    The caller has checked that the person may answer, and that the arguments fit the tool.
    """
    lock([execution])
    # Under the lock: until the commit, neither another answer nor the end of the wait can end this attempt.
    claims = [as_claim(row[0]) for row in rows_of(OPEN_CLAIM, step=step)]
    replaced = given.arguments is not None and bool(claims) and claims[0].tool != Approval.slug
    changes = {"comment": given.comment}
    answered = rows_of(
        ANSWER,
        execution=execution,
        step=step,
        actor=actor,
        action=f"step.{given.answer}",
        answer=dump({"answer": given.answer, "answeredBy": given.by, "comment": given.comment}),
        arguments=dump(given.arguments) if replaced else None,
        changes=dump(changes if given.arguments is None else changes | {"arguments": given.arguments}),
    )
    if not answered:
        return False
    # In the same transaction as the answer: there is no moment at which a step is answered and still waits.
    record_answers([given.outcome(claims[0])], actor=actor)
    return True
