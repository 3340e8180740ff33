"""The engine's statements. Each runs in a transaction that has locked its executions first.

`engine` says what they are for and in which order they run. Times are the database's.
"""

LOCK = """
SELECT id FROM workflow_executions WHERE id = ANY(%(executions)s::uuid[]) ORDER BY id FOR UPDATE
"""

# Those that nobody has locked: who waits here would wait for a worker that was frozen in its transaction.
LOCK_FREE = LOCK.rstrip() + " SKIP LOCKED"

# A start, a worker's turn, and parts of a turn for other verbs: see sql/.
START = "SELECT workflow_start_1(%(new)s::jsonb, %(steps)s::jsonb, %(message)s::text, %(actor)s::text)"
TURN = """
SELECT workflow_turn_2(
  %(worker)s::uuid, %(actor)s::text, %(lease)s::float8, %(tools)s::text[], %(jobs)s::uuid[], %(messages)s::json,
  %(outcomes)s::json, %(outputs)s::text[], %(kinds)s::json, %(only)s::uuid, %(cooldowns)s::json)
"""
RECORD_ANSWERS = """
SELECT executions, statuses FROM workflow_record_2(
  %(outcomes)s::json, %(outputs)s::text[], true, '{}', NULL, NULL, %(actor)s::text)
"""
SETTLE = """
SELECT workflow_settle_2(
  %(executions)s::uuid[], %(statuses)s::text[], '{}', %(messages)s::json, %(actor)s::text)
"""

# An attempt that an outside worker may answer: it is being posted, it was, or it goes on under the same number after
# a crash, a stop or a busy answer.
_OPEN = """(
  s.status = 'running' OR s.answer_by IS NOT NULL OR (s.status IN ('ready', 'waiting') AND s.repeats_attempt))"""

SIGN_OF_LIFE = f"""
UPDATE workflow_steps s SET
  progress = coalesce(%(progress)s, s.progress), message = coalesce(%(message)s, s.message),
  answer_by = CASE WHEN s.answer_by IS NOT NULL THEN least(
    clock_timestamp() + s.silence_seconds * interval '1 second',
    s.started_at + s.timeout_seconds * interval '1 second') END
WHERE s.id = %(step)s AND {_OPEN}
"""

# Columns as those of workflow_claim.
_AS_CLAIMS = """
SELECT json_build_array(
  s.id, s.token, s.execution_id, s.index, s.name, s.description, s.tool, s.arguments, s.depends_on,
  s.attempt, s.attempts_before, s.max_attempts, s.timeout_seconds, s.round, s.crashes,
  extract(epoch FROM clock_timestamp() - s.waiting_since)::float8, s.lane,
  e.owner_id, u.username, e.name, e.description, e.mode, e.model_id, e.project_id, e.tags)
FROM workflow_steps s JOIN workflow_executions e ON e.id = s.execution_id JOIN auth_user u ON u.id = e.owner_id
"""

ANSWERED = _AS_CLAIMS + f"WHERE s.id = %(step)s AND {_OPEN}"

SILENT = "SELECT DISTINCT execution_id FROM workflow_steps WHERE answer_by < statement_timestamp() LIMIT %(limit)s"
OVERDUE = _AS_CLAIMS + "WHERE s.execution_id = ANY(%(executions)s::uuid[]) AND s.answer_by < statement_timestamp()"

UNSEND = """
WITH gone AS (DELETE FROM django_q_ormq WHERE id = %(message)s)
UPDATE workflow_executions SET message_id = NULL, wake_at = NULL
WHERE id = %(execution)s AND message_id = %(message)s
"""

EVENTS = """
INSERT INTO audit_events (actor, action, object, execution_id, changes)
SELECT %(actor)s, action, object, execution, changes
FROM unnest(%(actions)s::text[], %(objects)s::text[], %(executions)s::uuid[], %(changes)s::jsonb[])
  AS given(action, object, execution, changes)
"""

# No lock on the execution here, so never wait: a row that another transaction holds is being changed anyway.
_HELD = """
SELECT id FROM workflow_steps
WHERE id = ANY(%(steps)s::uuid[]) AND token = ANY(%(tokens)s::uuid[]) AND status = 'running' FOR UPDATE SKIP LOCKED
"""

RENEW = f"""
UPDATE workflow_steps SET lease_until = clock_timestamp() + %(lease)s * interval '1 second' WHERE id IN ({_HELD})
"""

REPORT = f"""
UPDATE workflow_steps s SET progress = coalesce(given.progress, s.progress), message = given.message
FROM unnest(%(steps)s::uuid[], %(progress)s::int[], %(messages)s::text[]) AS given(step, progress, message)
WHERE s.id = given.step AND s.id IN ({_HELD})
"""

STILL_MINE = """
SELECT token FROM workflow_steps
WHERE id = ANY(%(steps)s::uuid[]) AND token = ANY(%(tokens)s::uuid[]) AND status = 'running'
"""

COOLDOWNS = """
SELECT key, extract(epoch FROM until - clock_timestamp())::float8 FROM workflow_cooldowns
WHERE until > statement_timestamp()
"""

KEEP_ARGUMENTS = """
UPDATE workflow_steps SET arguments = %(arguments)s::jsonb
WHERE id = %(step)s AND token = %(token)s AND status = 'running' RETURNING id
"""

# Behind the last step, while the step that asks for them is held by who asks. What is there already stays as it is.
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
ADDED = """
UPDATE workflow_executions SET steps_total = steps_total + %(count)s WHERE id = %(execution)s
"""

# Ending an execution early takes the tokens away, so that whoever runs its steps can record nothing more.
END = """
WITH cancelled AS (
  UPDATE workflow_steps SET
    status = 'cancelled', token = NULL, lane = NULL, lease_until = NULL, ready_at = NULL, answer_by = NULL,
    finished_at = clock_timestamp(), error = coalesce(%(step_error)s::jsonb, error)
  WHERE execution_id = %(execution)s AND status IN ('pending', 'ready', 'running', 'waiting')
  RETURNING id, execution_id
), events AS (
  INSERT INTO audit_events (actor, action, object, execution_id, changes)
  SELECT %(actor)s, 'step.cancelled', 'step:' || id, execution_id, '{"status": "cancelled"}' FROM cancelled
)
UPDATE workflow_executions SET
  status = %(status)s, finished_at = clock_timestamp(), changed_at = clock_timestamp(), steps_running = 0,
  steps_finished = steps_total, next_tool = NULL, next_slot = NULL, error = %(error)s
WHERE id = %(execution)s AND status IN ('queued', 'running', 'waiting')
RETURNING message_id, job_type
"""

# Retrying gives what did not complete a fresh number of attempts; `attempt` and `round` go on counting.
RETRY = """
WITH again AS (
  SELECT id, (
      SELECT count(*) FROM workflow_steps d
      WHERE d.execution_id = s.execution_id AND d.index = ANY(s.depends_on) AND d.status <> 'completed'
    ) AS missing
  FROM workflow_steps s
  WHERE s.execution_id = %(execution)s AND s.status IN ('failed', 'skipped', 'cancelled')
), reset AS (
  UPDATE workflow_steps s SET
    missing_dependencies = again.missing,
    status = CASE WHEN again.missing = 0 THEN 'ready' ELSE 'pending' END,
    ready_at = CASE WHEN again.missing = 0 THEN clock_timestamp() END,
    attempts_before = s.attempt, round = s.round + CASE WHEN s.attempt > 0 THEN 1 ELSE 0 END,
    repeats_attempt = false, crashes = 0, waiting_since = NULL, progress = 0, message = '', error = NULL,
    output = NULL, started_at = NULL, finished_at = NULL
  FROM again WHERE s.id = again.id
  RETURNING s.id, s.execution_id, s.status
), events AS (
  INSERT INTO audit_events (actor, action, object, execution_id, changes)
  SELECT %(actor)s, 'step.retried', 'step:' || id, execution_id, jsonb_build_object('status', status) FROM reset
)
UPDATE workflow_executions SET
  status = 'queued', finished_at = NULL, started_at = NULL, error = NULL, steps_failed = 0, steps_running = 0,
  steps_finished = steps_completed, changed_at = clock_timestamp()
WHERE id = %(execution)s AND status IN ('failed', 'cancelled', 'completed_with_errors')
RETURNING job_type
"""

# Claims whose COMMIT went through but whose answer got lost: the holder does not know that it has them.
STRAYS = """
SELECT DISTINCT execution_id FROM workflow_steps
WHERE status = 'running' AND worker = %(worker)s AND token <> ALL(%(tokens)s::uuid[])
"""
RELEASE = """
WITH released AS (
  UPDATE workflow_steps SET
    status = 'ready', ready_at = clock_timestamp(), token = NULL, lane = NULL, lease_until = NULL,
    repeats_attempt = true
  WHERE execution_id = ANY(%(executions)s::uuid[]) AND status = 'running' AND worker = %(worker)s
    AND token <> ALL(%(tokens)s::uuid[])
  RETURNING id, execution_id, attempt
), events AS (
  INSERT INTO audit_events (actor, action, object, execution_id, changes)
  SELECT %(actor)s, 'step.returned', 'step:' || id, execution_id,
    jsonb_build_object('status', 'ready', 'attempt', attempt, 'reason', 'answer lost')
  FROM released
)
SELECT id, execution_id FROM released
"""

EXPIRED = """
SELECT DISTINCT execution_id FROM workflow_steps WHERE status = 'running' AND lease_until < statement_timestamp()
"""

# The lease ran out: a crash of its worker, not an attempt. A step that runs alone (two crashes) is not charged
# for its supervisor's end.
REAP = """
WITH reaped AS (
  UPDATE workflow_steps SET
    status = 'ready', ready_at = clock_timestamp(), token = NULL, lane = NULL, lease_until = NULL,
    repeats_attempt = true, crashes = least(crashes + 1, greatest(crashes, %(alone)s))
  WHERE execution_id = ANY(%(executions)s::uuid[]) AND status = 'running' AND lease_until < statement_timestamp()
  RETURNING id, execution_id, attempt, worker, crashes
), events AS (
  INSERT INTO audit_events (actor, action, object, execution_id, changes)
  SELECT %(actor)s, 'step.lease_lost', 'step:' || id, execution_id,
    jsonb_build_object('status', 'ready', 'attempt', attempt, 'worker', worker, 'crashes', crashes)
  FROM reaped
)
SELECT id, execution_id FROM reaped
"""

# The invariant: an unfinished execution has a leased step, a message, or nothing to wait for but the outside.
STRANDED = """
SELECT e.id FROM workflow_executions e
WHERE e.status IN ('queued', 'running', 'waiting')
  AND NOT EXISTS (SELECT FROM django_q_ormq q WHERE q.id = e.message_id)
  AND NOT EXISTS (SELECT FROM workflow_steps s WHERE s.execution_id = e.id AND s.status = 'running')
  AND NOT EXISTS (
    SELECT FROM workflow_steps s WHERE s.execution_id = e.id AND s.answer_by IS NOT NULL)
"""
