"""The verb that runs a finished job again, as a new job that may take over outputs."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from psycopg.types.json import Jsonb

from workflows.engine.new_jobs import NewExecution
from workflows.engine.query import rows_of
from workflows.engine.settling import lock, record_events, settle
from workflows.engine.start_job import start

FINISHED = """
SELECT id FROM workflow_executions
WHERE id = %(source)s AND status IN ('completed', 'completed_with_errors', 'failed', 'cancelled')
"""

# The usage stays with the step that caused it: the new job costs what it spends itself.
TAKE_OVER = """
UPDATE workflow_steps s SET
  status = 'completed', ready_at = NULL, missing_dependencies = 0, progress = 100, finished_at = clock_timestamp(),
  output = old.output, arguments = old.arguments, model = old.model, copied_from = coalesce(old.copied_from, old.id)
FROM unnest(%(indexes)s::int[], %(steps)s::uuid[]) AS given(index, step)
JOIN workflow_steps old ON old.id = given.step AND old.execution_id = %(source)s AND old.status = 'completed'
WHERE s.execution_id = %(execution)s AND s.index = given.index
RETURNING s.id
"""
RELEASE = """
WITH open AS (
  SELECT s.id, (
      SELECT count(*) FROM workflow_steps d
      WHERE d.execution_id = s.execution_id AND d.index = ANY(s.depends_on) AND d.status <> 'completed'
    ) AS missing
  FROM workflow_steps s WHERE s.execution_id = %(execution)s AND s.status = 'pending'
)
UPDATE workflow_steps s SET
  missing_dependencies = open.missing, status = CASE WHEN open.missing = 0 THEN 'ready' ELSE 'pending' END,
  ready_at = CASE WHEN open.missing = 0 THEN clock_timestamp() END
FROM open WHERE s.id = open.id
"""
COUNT_TAKEN_OVER = """
UPDATE workflow_executions SET
  rerun_of = %(source)s, reused = %(reused)s, steps_completed = %(count)s, steps_finished = %(count)s
WHERE id = %(execution)s
"""


@transaction.atomic
def rerun(
    source: UUID, new: NewExecution, copies: Mapping[int, UUID], *, reused: dict[str, Any], actor: str
) -> UUID | None:
    """Starts `new` as a rerun of a job. Returns None if that job is not finished.

    `copies` maps the index of each step that takes over an output to the completed step that has it. At least one step
    must be left to run. `reused` is stored for display.
    """
    # A retry of the source at the same time would reopen it, and its outputs could change while they are taken over.
    lock([source])
    if not rows_of(FINISHED, source=source):
        return None
    # Within this transaction the new job is invisible: no worker claims a step that is about to take over an output.
    execution = start(new, actor=actor)
    taken = rows_of(TAKE_OVER, execution=execution, source=source, indexes=list(copies), steps=list(copies.values()))
    if len(taken) != len(copies) or len(taken) == len(new.steps):
        raise ValueError("a rerun takes over completed steps of its job, and leaves at least one to run")
    # After the outputs are in place, because it counts the dependencies that are not completed.
    rows_of(RELEASE, execution=execution)
    rows_of(COUNT_TAKEN_OVER, execution=execution, source=source, reused=Jsonb(reused), count=len(taken))
    record_events(
        actor,
        [
            ("job.rerun", source, {"jobId": str(execution)}),
            ("job.reused", execution, {"rerunOf": str(source), **reused}),
        ],
    )
    settle([execution], actor=actor)
    return execution
