"""The rules that the engine's rows must keep. `manage.py check_engine` prints the rows that break one.

A rule is a condition that is true for a broken row. The row is a step `s` of the job `e`, or a job `e` with the figures
`f` of its steps. One statement checks each rule, so it never sees a half-finished verb.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.db import connection

from workflows.engine.reaper import stranded

_OPEN = "('pending', 'ready', 'running', 'waiting')"
_OVER = "('completed', 'failed', 'skipped', 'cancelled')"
_UNFINISHED = "('queued', 'running', 'waiting')"

_OF_STEPS = {
    "a finished job has no open step": f"e.status NOT IN {_UNFINISHED} AND s.status IN {_OPEN}",
    "a ready step has the time from which it may be claimed": "s.status = 'ready' AND s.ready_at IS NULL",
    "a waiting step waits for a time, with its reason, or for an outside answer": (
        "s.status = 'waiting' AND s.answer_by IS NULL AND (s.ready_at IS NULL OR s.error IS NULL)"
    ),
    "only a ready or waiting step may be claimed": "s.status NOT IN ('ready', 'waiting') AND s.ready_at IS NOT NULL",
    "a running step has a lease, a claim token, a worker and a lane of its job": (
        "s.status = 'running' AND (s.lease_until IS NULL OR s.token IS NULL OR s.worker IS NULL "
        "OR s.lane IS NULL OR s.lane NOT BETWEEN 1 AND e.max_parallel)"
    ),
    "only a running step has a lease and a lane": (
        "s.status <> 'running' AND (s.lease_until IS NOT NULL OR s.lane IS NOT NULL)"
    ),
    "a lease that ran out is reaped within minutes (does maintenance run?)": (
        "s.status = 'running' AND s.lease_until < clock_timestamp() - interval '5 minutes'"
    ),
    "a lease ends within LEASE_SECONDS": (
        "s.status = 'running' "
        "AND s.lease_until > clock_timestamp() + %(lease)s * interval '1 second' + interval '1 hour'"
    ),
    "a wait for an outside answer ends within minutes of its deadline (does maintenance run?)": (
        "s.answer_by < clock_timestamp() - interval '5 minutes'"
    ),
    "a step has the time of its end if, and only if, it is over": (
        f"(s.status IN {_OVER}) <> (s.finished_at IS NOT NULL)"
    ),
    "a completed step has no error, and its progress is 100": (
        "s.status = 'completed' AND (s.error IS NOT NULL OR s.progress <> 100)"
    ),
    "a failed or skipped step has an error": "s.status IN ('failed', 'skipped') AND s.error IS NULL",
    "a step's progress is between 0 and 100": "s.progress NOT BETWEEN 0 AND 100",
    "a step that has begun has the number of its attempt in its round, within its attempts": (
        "s.attempt < s.attempts_before OR s.attempt > s.attempts_before + s.max_attempts "
        "OR (s.status IN ('running', 'completed', 'failed') AND s.attempt = s.attempts_before "
        "AND s.copied_from IS NULL)"
    ),
    "a step's rounds agree with the attempts of earlier rounds": (
        "s.round < 1 OR (s.round > 1) <> (s.attempts_before > 0)"
    ),
    "a step's dependencies are steps of its job, and list it as their dependent": """
        cardinality(s.depends_on) <> (
          SELECT count(*) FROM workflow_steps d
          WHERE d.execution_id = s.execution_id AND d.index = ANY(s.depends_on) AND s.index = ANY(d.dependents))
        OR EXISTS (
          SELECT FROM workflow_steps d
          WHERE d.execution_id = s.execution_id AND d.index = ANY(s.dependents) AND NOT s.index = ANY(d.depends_on))""",
    "a pending step counts the dependencies that are not completed": """
        s.status = 'pending' AND s.missing_dependencies <> (
          SELECT count(*) FROM workflow_steps d
          WHERE d.execution_id = s.execution_id AND d.index = ANY(s.depends_on) AND d.status <> 'completed')""",
    "a pending step depends on a step that may still complete": f"""
        s.status = 'pending' AND (s.missing_dependencies < 1 OR EXISTS (
          SELECT FROM workflow_steps d WHERE d.execution_id = s.execution_id AND d.index = ANY(s.depends_on)
            AND d.status IN {_OVER} AND d.status <> 'completed'))""",
    "a step begins when all its dependencies are completed": """
        s.status IN ('ready', 'running', 'waiting', 'completed', 'failed') AND EXISTS (
          SELECT FROM workflow_steps d
          WHERE d.execution_id = s.execution_id AND d.index = ANY(s.depends_on) AND d.status <> 'completed')""",
    "only a completed step has the output of another job's step": (
        "s.copied_from IS NOT NULL AND s.status <> 'completed'"
    ),
    # A dependency that had failed may have been retried alone, while another one was cancelled.
    "a step is skipped because a dependency failed, was skipped or was cancelled": """
        s.status = 'skipped' AND NOT EXISTS (
          SELECT FROM workflow_steps d WHERE d.execution_id = s.execution_id AND d.index = ANY(s.depends_on)
            AND d.status IN ('failed', 'skipped', 'cancelled'))""",
}
_STEPS = "SELECT s.id, s.name FROM workflow_steps s JOIN workflow_executions e ON e.id = s.execution_id"
_FIGURES = f"""
SELECT count(*) AS total,
  count(*) FILTER (WHERE status = 'running') AS running,
  count(*) FILTER (WHERE status = 'completed') AS completed,
  count(*) FILTER (WHERE status = 'failed') AS failed,
  count(*) FILTER (WHERE status = 'skipped') AS skipped,
  count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
  count(*) FILTER (WHERE status IN {_OVER}) AS finished,
  count(*) FILTER (WHERE answer_by IS NOT NULL) AS answers,
  min(ready_at) FILTER (WHERE status IN ('ready', 'waiting')) AS ready_at,
  max(index) + 1 AS indexes
FROM workflow_steps WHERE execution_id = e.id
"""
_JOBS = f"SELECT e.id, e.name FROM workflow_executions e CROSS JOIN LATERAL ({_FIGURES}) f"
_OF_JOBS = {
    "a job's counters agree with its steps": (
        "(f.total, f.running, f.completed, f.failed, f.finished) "
        "<> (e.steps_total, e.steps_running, e.steps_completed, e.steps_failed, e.steps_finished) "
        "OR f.indexes <> f.total"
    ),
    "a job has the time of its end if, and only if, it is finished": (
        f"(e.status IN {_UNFINISHED}) <> (e.finished_at IS NULL)"
    ),
    "an unfinished job has an open step": f"e.status IN {_UNFINISHED} AND f.finished = f.total AND f.total > 0",
    "a queued job has not started": "e.status = 'queued' AND (f.running > 0 OR e.started_at IS NOT NULL)",
    "a running job has started, and a step that runs or is due": (
        "e.status = 'running' AND (e.started_at IS NULL "
        "OR (f.running = 0 AND coalesce(f.ready_at, 'infinity') > clock_timestamp()))"
    ),
    "a waiting job runs no step, and has one that waits": (
        "e.status = 'waiting' AND (f.running > 0 OR (f.ready_at IS NULL AND f.answers = 0))"
    ),
    "all steps of a completed job are completed": "e.status = 'completed' AND f.completed <> f.total",
    "a job is completed_with_errors if it tolerates failures, and some steps failed and others completed": (
        "e.status = 'completed_with_errors' AND NOT (e.tolerates_failures AND f.completed > 0 AND f.failed > 0)"
    ),
    "a failed job has a failed step, or an error of its own and a step that it stopped": """
        e.status = 'failed' AND CASE WHEN e.error IS NULL
          THEN f.failed = 0 OR (e.tolerates_failures AND f.completed > 0)
          ELSE f.cancelled = 0 END""",
    "a cancelled job has a cancelled step": "e.status = 'cancelled' AND f.cancelled = 0 AND f.total > 0",
    "only a failed or cancelled job has an error": "e.error IS NOT NULL AND e.status NOT IN ('failed', 'cancelled')",
    "an unfinished job with a claimable step and a free lane has a message": (
        f"e.status IN {_UNFINISHED} AND e.message_id IS NULL AND e.steps_running < e.max_parallel "
        "AND f.ready_at IS NOT NULL"
    ),
    "only an unfinished job has a message": (
        f"e.status NOT IN {_UNFINISHED} AND (e.message_id IS NOT NULL OR e.wake_at IS NOT NULL)"
    ),
    "a job's message is in the queue, under the key of the job's queue": """
        e.message_id IS NOT NULL AND NOT EXISTS (
          SELECT FROM django_q_ormq q WHERE q.id = e.message_id AND q.key = 'jobs-' || e.queue)""",
    # A stock cluster that has taken the message moves its lock into the future.
    "a job with a message wakes no later than its message and its next step": """
        e.message_id IS NOT NULL AND (
          e.wake_at IS NULL OR e.wake_at > greatest(f.ready_at, e.changed_at)
          OR e.wake_at > (SELECT q.lock FROM django_q_ormq q WHERE q.id = e.message_id))""",
    "a job with a message names the tool and the slot of its next step": """
        e.message_id IS NOT NULL AND NOT EXISTS (
          SELECT FROM (
            SELECT tool, CASE WHEN crashes < 2 THEN slot ELSE 'alone' END AS slot FROM workflow_steps
            WHERE execution_id = e.id AND status IN ('ready', 'waiting') AND ready_at IS NOT NULL
            ORDER BY ready_at, index LIMIT 1) next
          WHERE next.tool = e.next_tool AND next.slot = e.next_slot)""",
}
_LACKING = """
SELECT w.host || ':' || w.pid, lacking.tool || ': ' || lacking.why
FROM workflow_workers w, jsonb_each_text(w.lacks) AS lacking(tool, why)
WHERE w.last_beat > clock_timestamp() - %(lease)s * interval '1 second'
"""
_ORPHANS = """
SELECT q.id, q.key FROM django_q_ormq q
WHERE q.key LIKE 'jobs-%%' AND NOT EXISTS (SELECT FROM workflow_executions e WHERE e.message_id = q.id)
"""


@dataclass(frozen=True, slots=True)
class BrokenRule:
    rule: str
    object: str


Find = Callable[[], Iterable[str]]
"""Yields the names of the rows that break a rule."""


def rows_found_by(statement: str) -> Find:
    """Returns a Find for a statement that returns the id and the name of each broken row."""
    return partial(_broken_rows, statement)


def _broken_rows(statement: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"lease": settings.CONFIG.lease_seconds})
        return [f"{name} ({number})" for number, name in cursor.fetchall()]


RULES: dict[str, Find] = {
    "an unfinished job has a leased step, a message, or waits for an outside answer": lambda: (
        f"job {execution}" for execution in stranded()
    ),
    **{rule: rows_found_by(f"{_STEPS} WHERE {is_broken}") for rule, is_broken in _OF_STEPS.items()},
    **{rule: rows_found_by(f"{_JOBS} WHERE {is_broken}") for rule, is_broken in _OF_JOBS.items()},
    "a worker can run every tool on its machine": rows_found_by(_LACKING),
    "a message in a queue of jobs belongs to a job": rows_found_by(_ORPHANS),
}
"""The apps above this one add their own rules."""


def check() -> list[BrokenRule]:
    """Changes nothing. A row that changes meanwhile may be reported once. One that is reported twice is broken."""
    return [BrokenRule(rule, found) for rule, find in RULES.items() for found in find()]
