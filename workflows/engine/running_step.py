"""What a running step may do to its job: keep the arguments that a model chose, and add steps."""

from collections.abc import Mapping
from uuid import UUID, uuid5

from django.db import transaction
from psycopg.types.json import Jsonb

from workflows.engine.claims import Claim, ClaimedStep
from workflows.engine.new_jobs import NewStep
from workflows.engine.query import rows_of
from workflows.engine.settling import lock, record_events, settle
from workflows.engine.stored_json import dump
from workflows.tools import slot_of

MAX_MODEL = 200
"""How many characters of a model's name are kept. A provider may send any name."""

KEEP_ARGUMENTS = """
UPDATE workflow_steps SET arguments = %(arguments)s::jsonb, model = %(model)s
WHERE id = %(step)s AND token = %(token)s AND status = 'running'
"""

# The new steps follow the last one, if the step that adds them is still held by its worker. Steps that exist stay as
# they are.
ADD = """
WITH held AS (
  SELECT FROM workflow_steps
  WHERE id = %(step)s AND execution_id = %(execution)s AND token = %(token)s AND status = 'running'
), fresh AS (
  SELECT given.*, row_number() OVER (ORDER BY place) AS number FROM unnest(
    %(ids)s::uuid[], %(names)s::text[], %(descriptions)s::text[], %(tools)s::text[], %(slots)s::text[],
    %(arguments)s::jsonb[], %(max_attempts)s::int[], %(timeouts)s::int[]
  ) WITH ORDINALITY AS given(id, name, description, tool, slot, arguments, max_attempts, timeout_seconds, place)
  WHERE NOT EXISTS (SELECT FROM workflow_steps s WHERE s.id = given.id)
)
INSERT INTO workflow_steps (
  id, execution_id, index, name, description, tool, slot, arguments, depends_on, dependents, missing_dependencies,
  status, ready_at, attempt, attempts_before, round, repeats_attempt, max_attempts, timeout_seconds, crashes,
  progress, message, model)
SELECT fresh.id, %(execution)s,
  ((SELECT max(index) FROM workflow_steps WHERE execution_id = %(execution)s) + number)::int,
  fresh.name, fresh.description, fresh.tool, fresh.slot, fresh.arguments, '{}', '{}', 0, 'ready', statement_timestamp(),
  0, 0, 1, false, fresh.max_attempts, fresh.timeout_seconds, 0, 0, '', ''
FROM fresh WHERE EXISTS (SELECT FROM held)
RETURNING id
"""
COUNT_ADDED = "UPDATE workflow_executions SET steps_total = steps_total + %(count)s WHERE id = %(execution)s"


def keep_arguments(claim: Claim, arguments: dict[str, object], model: str) -> None:
    """Commits the arguments that a model chose, before the tool runs. Later attempts use them again.

    The model's name distinguishes them from arguments that the step's author gave, even after a crash.
    """
    name = (model or "a model")[:MAX_MODEL]
    rows_of(KEEP_ARGUMENTS, step=claim.step_id, token=claim.token, arguments=dump(arguments), model=name)


@transaction.atomic
def add_steps(execution: UUID, steps: Mapping[str, NewStep], *, within: ClaimedStep, actor: str) -> list[UUID]:
    """Adds steps without dependencies to a job, on behalf of its running step `within`. Returns the ids of new ones.

    The keys identify the steps within the job: a key that a former attempt has used adds nothing. Nothing is added
    either if the step is no longer held, because its lease was lost or the job cancelled.
    """
    if any(step.depends_on for step in steps.values()):
        raise ValueError("an added step cannot depend on another one")
    # Before `held` is read: a cancel that comes first takes the token, and one that comes later also ends the new
    # steps.
    lock([execution])
    rows = rows_of(
        ADD,
        execution=execution,
        step=within.step_id,
        token=within.token,
        # Computed from the keys, so an attempt that runs again after a crash names the same steps and adds none twice.
        ids=[uuid5(execution, key) for key in steps],
        names=[step.name for step in steps.values()],
        descriptions=[step.description for step in steps.values()],
        tools=[step.tool for step in steps.values()],
        slots=[slot_of(step.tool) for step in steps.values()],
        arguments=[None if step.arguments is None else Jsonb(step.arguments) for step in steps.values()],
        max_attempts=[step.max_attempts for step in steps.values()],
        timeouts=[step.timeout_seconds for step in steps.values()],
    )
    added = [row[0] for row in rows]
    if added:
        rows_of(COUNT_ADDED, execution=execution, count=len(added))
        record_events(actor, [("job.steps_added", execution, {"steps": len(added)})])
        settle([execution], actor=actor)
    return added
