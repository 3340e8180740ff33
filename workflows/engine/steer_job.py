"""The verbs by which people and callbacks steer a job: cancel, fail, retry, prioritize, delete."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from psycopg.types.json import Jsonb

from workflows.engine import rollups
from workflows.engine.notifications import CANCEL, Notification, notify
from workflows.engine.query import rows_of
from workflows.engine.settling import lock, record_events, settle
from workflows.models import RETRYABLE_EXECUTION, ExecutionStatus, Queue, WorkflowExecution

# The guard comes first, and the changes of the steps join what passed it: PostgreSQL runs every data-modifying part of
# a statement, whatever the others find, so a guard at the end would refuse and still have changed the steps.

# Taking the tokens away means that workers can record nothing more of the steps that they are running.
END = """
WITH ended AS (
  UPDATE workflow_executions SET
    status = %(status)s, finished_at = clock_timestamp(), changed_at = clock_timestamp(), steps_running = 0,
    steps_finished = steps_total, next_tool = NULL, next_slot = NULL, error = %(error)s
  WHERE id = %(execution)s AND status IN ('queued', 'running', 'waiting')
  RETURNING id, message_id, job_type
), cancelled AS (
  UPDATE workflow_steps s SET
    status = 'cancelled', token = NULL, lane = NULL, lease_until = NULL, ready_at = NULL, answer_by = NULL,
    finished_at = clock_timestamp(), error = coalesce(%(step_error)s::jsonb, s.error)
  FROM ended WHERE s.execution_id = ended.id AND s.status IN ('pending', 'ready', 'running', 'waiting')
  RETURNING s.id, s.execution_id
), events AS (
  INSERT INTO audit_events (actor, action, object, execution_id, changes)
  SELECT %(actor)s, 'step.cancelled', 'step:' || id, execution_id, '{"status": "cancelled"}' FROM cancelled
)
SELECT message_id, job_type FROM ended
"""

UNSEND = """
WITH gone AS (DELETE FROM django_q_ormq WHERE id = %(message)s)
UPDATE workflow_executions SET message_id = NULL, wake_at = NULL
WHERE id = %(execution)s AND message_id = %(message)s
"""

# What did not complete gets a fresh number of attempts; `attempt` and `round` go on counting.
# `steps` limits this to some steps.
RETRY = """
WITH wanted AS (
  SELECT id, status FROM workflow_steps
  WHERE execution_id = %(execution)s AND status IN ('failed', 'skipped', 'cancelled')
    AND (%(steps)s::uuid[] IS NULL OR id = ANY(%(steps)s::uuid[]))
), retried AS (
  UPDATE workflow_executions SET
    status = 'queued', finished_at = NULL, started_at = NULL, error = NULL, steps_running = 0,
    steps_failed = steps_failed - (SELECT count(*) FROM wanted WHERE status = 'failed'),
    steps_finished = steps_finished - (SELECT count(*) FROM wanted), changed_at = clock_timestamp()
  WHERE id = %(execution)s AND status IN ('failed', 'cancelled', 'completed_with_errors')
  RETURNING id, job_type
), again AS (
  SELECT s.id, (
      SELECT count(*) FROM workflow_steps d
      WHERE d.execution_id = s.execution_id AND d.index = ANY(s.depends_on) AND d.status <> 'completed'
    ) AS missing
  FROM retried JOIN workflow_steps s ON s.execution_id = retried.id
  WHERE s.id IN (SELECT id FROM wanted)
), reset AS (
  UPDATE workflow_steps s SET
    missing_dependencies = again.missing,
    status = CASE WHEN again.missing = 0 THEN 'ready' ELSE 'pending' END,
    ready_at = CASE WHEN again.missing = 0 THEN clock_timestamp() END,
    attempts_before = s.attempt, round = s.round + CASE WHEN s.attempt > 0 THEN 1 ELSE 0 END,
    repeats_attempt = false, crashes = 0, waiting_since = NULL, progress = 0, message = '',
    reported_at = NULL, error = NULL, output = NULL, approval = NULL, started_at = NULL, finished_at = NULL
  FROM again WHERE s.id = again.id
  RETURNING s.id, s.execution_id, s.status
), events AS (
  INSERT INTO audit_events (actor, action, object, execution_id, changes)
  SELECT %(actor)s, 'step.retried', 'step:' || id, execution_id, jsonb_build_object('status', status) FROM reset
)
SELECT job_type FROM retried
"""

PRIORITIZE = """
WITH changed AS (
  UPDATE workflow_executions SET queue = %(queue)s, changed_at = clock_timestamp()
  WHERE id = %(execution)s AND status IN ('queued', 'running', 'waiting')
  RETURNING message_id
), moved AS (
  UPDATE django_q_ormq SET key = 'jobs-' || %(queue)s FROM changed WHERE id = changed.message_id
)
SELECT message_id FROM changed
"""


def cancel(execution: UUID, *, actor: str, error: dict[str, Any] | None = None) -> bool:
    """Cancels a job. Workers that run its steps are notified and stop them. False if the job had finished."""
    return _end(execution, ExecutionStatus.CANCELLED, error, None, actor=actor)


def fail(execution: UUID, error: dict[str, Any], *, actor: str) -> bool:
    """Like `cancel`, but the job has failed: `error` becomes the job's error and that of every step it stops."""
    return _end(execution, ExecutionStatus.FAILED, error, error, actor=actor)


@transaction.atomic
def _end(
    execution: UUID,
    status: ExecutionStatus,
    error: dict[str, Any] | None,
    step_error: dict[str, Any] | None,
    *,
    actor: str,
) -> bool:
    lock([execution])
    rows = rows_of(
        END,
        execution=execution,
        actor=actor,
        status=status.value,
        error=None if error is None else Jsonb(error),
        step_error=None if step_error is None else Jsonb(step_error),
    )
    if not rows:
        return False
    # Not settled: END has set all that settling would, because no step runs or follows.
    ((message, job_type),) = rows
    record_events(actor, [(f"job.{status.value}", execution, {"status": status.value, "jobType": job_type})])
    # No worker and no stock cluster may take up a finished job.
    if message is not None:
        rows_of(UNSEND, execution=execution, message=message)
    notify([Notification(CANCEL, str(execution))])
    return True


def retry(execution: UUID, *, actor: str) -> bool:
    """Runs the failed, skipped and cancelled steps again. False if the job is not in a state that allows it."""
    return retry_steps(execution, None, actor=actor)


@transaction.atomic
def retry_steps(execution: UUID, steps: Sequence[UUID] | None, *, actor: str) -> bool:
    """Like `retry`, for some steps. Their dependencies must be completed, or be among them."""
    lock([execution])
    if not WorkflowExecution.objects.filter(pk=execution, status__in=RETRYABLE_EXECUTION).exists():
        return False
    rollups.keep([execution], with_usage=False)
    rows = rows_of(RETRY, execution=execution, steps=None if steps is None else list(steps), actor=actor)
    if not rows:
        return False
    ((job_type,),) = rows
    # Before settling, so that the trail shows the retry before what follows from it.
    record_events(actor, [("job.retried", execution, {"status": "queued", "jobType": job_type})])
    settle([execution], actor=actor)
    return True


@transaction.atomic
def prioritize(execution: UUID, queue: Queue, *, actor: str) -> bool:
    """Moves an unfinished job to another queue. False if it is finished."""
    # Not settled: another queue changes the order among due jobs, not what is due. Workers see it at their next look.
    lock([execution])
    if not rows_of(PRIORITIZE, execution=execution, queue=queue.value):
        return False
    record_events(actor, [("job.prioritized", execution, {"priority": queue.value})])
    return True


@transaction.atomic
def delete(execution: UUID, *, actor: str) -> bool:
    """Deletes a finished job with its steps. Its audit events stay. False if it is not finished."""
    # A retry at the same time must not start a job that is being deleted.
    lock([execution])
    job = WorkflowExecution.objects.finished().filter(pk=execution)
    shown = job.values("name", "status", "job_type").first()
    if shown is None:
        return False
    rollups.keep([execution], with_usage=True)
    job.delete()
    changes = {"name": shown["name"], "status": shown["status"], "jobType": shown["job_type"]}
    record_events(actor, [("job.deleted", execution, changes)])
    return True
