"""The rules that the engine's rows must keep. `manage.py check_engine` prints the rows that break one."""

from dataclasses import dataclass

from django.db import connection

from workflows import engine

_COUNTERS = """
SELECT e.id, e.name FROM workflow_executions e
JOIN LATERAL (
  SELECT count(*) AS total,
    count(*) FILTER (WHERE status = 'running') AS running,
    count(*) FILTER (WHERE status = 'completed') AS completed,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    count(*) FILTER (WHERE status IN ('completed', 'failed', 'skipped', 'cancelled')) AS finished
  FROM workflow_steps s WHERE s.execution_id = e.id
) s ON true
WHERE (s.total, s.running, s.completed, s.failed, s.finished)
  <> (e.steps_total, e.steps_running, e.steps_completed, e.steps_failed, e.steps_finished)
"""
_DEPENDENCIES = """
SELECT s.id, s.name FROM workflow_steps s
WHERE s.status = 'pending' AND s.missing_dependencies <> (
  SELECT count(*) FROM workflow_steps d
  WHERE d.execution_id = s.execution_id AND d.index = ANY(s.depends_on) AND d.status <> 'completed')
"""
_LEASES = """
SELECT id, name FROM workflow_steps
WHERE status = 'running' AND lease_until < clock_timestamp() - interval '5 minutes'
"""
_ANSWERS = """
SELECT id, name FROM workflow_steps WHERE answer_by < clock_timestamp() - interval '5 minutes'
"""
_MESSAGES = """
SELECT e.id, e.name FROM workflow_executions e JOIN django_q_ormq q ON q.id = e.message_id
WHERE e.status NOT IN ('queued', 'running', 'waiting') OR q.key <> 'jobs-' || e.queue
"""
_CLAIMABLE = """
SELECT e.id, e.name FROM workflow_executions e
WHERE e.status IN ('queued', 'running', 'waiting') AND e.message_id IS NULL AND e.steps_running < e.max_parallel
  AND EXISTS (
    SELECT FROM workflow_steps s
    WHERE s.execution_id = e.id AND s.status IN ('ready', 'waiting') AND s.ready_at IS NOT NULL)
"""

RULES = {
    "a job's counters agree with its steps": _COUNTERS,
    "a pending step counts the dependencies that are not completed": _DEPENDENCIES,
    "a lease that ran out is reaped within minutes (does maintenance run?)": _LEASES,
    "a wait for an outside answer ends within minutes of its deadline (does maintenance run?)": _ANSWERS,
    "an unfinished job with a claimable step and a free lane has a message": _CLAIMABLE,
    "only an unfinished job has a message, and the message is in the job's queue": _MESSAGES,
}


@dataclass(frozen=True, slots=True)
class BrokenRule:
    rule: str
    object: str


def check() -> list[BrokenRule]:
    """Changes nothing. A row that changes meanwhile may be reported once. One that is reported twice is broken."""
    stranded = "an unfinished job has a leased step, a message, or waits for an outside answer"
    found = [BrokenRule(stranded, f"job {execution}") for execution in engine.stranded()]
    with connection.cursor() as cursor:
        for rule, statement in RULES.items():
            cursor.execute(statement)
            found += [BrokenRule(rule, f"{name} ({number})") for number, name in cursor.fetchall()]
    return found
