"""The engine's statements. Each runs in a transaction that has locked its executions first.

`engine` says what they are for and in which order they run. Times are the database's.
"""

LOCK = """
SELECT id FROM workflow_executions WHERE id = ANY(%(executions)s::uuid[]) ORDER BY id FOR UPDATE
"""

# Those that nobody has locked: who waits here would wait for a worker that was frozen in its transaction.
LOCK_FREE = LOCK.rstrip() + " SKIP LOCKED"

_CAN_RUN = "AND e.next_tool = ANY(%(tools)s) AND NOT EXISTS (SELECT FROM workflow_pauses)"

# The executions whose message is due, in the order of the queues and, within one, of the messages: first lanes before
# further lanes. What another worker has locked is its turn: skip it. A branch is looked at only while there is room.
_DUE = """(
  SELECT e.id FROM workflow_executions e
  WHERE e.queue = '{queue}' AND e.next_slot = %(slot)s AND e.steps_running {running}
    AND e.wake_at <= statement_timestamp() AND e.message_id IS NOT NULL {can_run}
  ORDER BY e.wake_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)"""
_BRANCHES = [
    _DUE.format(queue=queue, running=running, can_run=_CAN_RUN)
    for queue in ("high", "normal", "low")
    for running in ("= 0", "> 0")
]
PICK = (
    "SELECT id FROM ("
    + " UNION ALL ".join(f"SELECT id FROM {branch} b{i}" for i, branch in enumerate(_BRANCHES))
    + ") due LIMIT %(limit)s"
)

# An execution of each owner who has nothing running. The owners with messages are few, and are found by skipping
# through an index; the messages of one of them may be many.
NEWCOMERS = f"""
WITH RECURSIVE owners AS (
  (SELECT owner_id FROM workflow_executions WHERE message_id IS NOT NULL AND next_slot = %(slot)s
   ORDER BY owner_id LIMIT 1)
  UNION ALL
  SELECT (
    SELECT e.owner_id FROM workflow_executions e
    WHERE e.message_id IS NOT NULL AND e.next_slot = %(slot)s AND e.owner_id > owners.owner_id
    ORDER BY e.owner_id LIMIT 1)
  FROM owners WHERE owners.owner_id IS NOT NULL
)
SELECT due.id FROM owners CROSS JOIN LATERAL (
  SELECT e.id FROM workflow_executions e
  WHERE e.next_slot = %(slot)s AND e.owner_id = owners.owner_id AND e.wake_at <= statement_timestamp()
    AND e.message_id IS NOT NULL {_CAN_RUN}
  ORDER BY e.wake_at LIMIT 1 FOR UPDATE SKIP LOCKED
) due
WHERE NOT EXISTS (SELECT FROM workflow_executions w WHERE w.owner_id = owners.owner_id AND w.steps_running > 0)
LIMIT %(limit)s
"""

# The steps behind a completed one lose a dependency. A step that waits outside does so no longer than its own limit.
_RECORD = """
WITH given AS (
  SELECT * FROM unnest(
    %(steps)s::uuid[], %(tokens)s::uuid[], %(statuses)s::text[], %(actions)s::text[], %(delays)s::float8[],
    %(repeats)s::bool[], %(crashes)s::int[], %(waits)s::bool[],
    %(outputs)s::text[], %(errors)s::text[], %(models)s::text[], %(usages)s::text[], %(silences)s::float8[]
  ) AS given(step, token, status, action, delay, repeats, crashes, waits, output, error, model, usage, silence)
), recorded AS (
  UPDATE workflow_steps s SET
    status = given.status,
    ready_at = clock_timestamp() + given.delay * interval '1 second',
    repeats_attempt = given.repeats,
    crashes = s.crashes + given.crashes,
    waiting_since = CASE WHEN given.waits THEN coalesce(s.waiting_since, clock_timestamp()) END,
    lane = NULL, lease_until = NULL,
    silence_seconds = given.silence,
    answer_by = CASE WHEN given.silence IS NOT NULL THEN least(
      clock_timestamp() + given.silence * interval '1 second',
      s.started_at + s.timeout_seconds * interval '1 second') END,
    output = given.output::jsonb, error = given.error::jsonb,
    model = coalesce(given.model, s.model), usage = coalesce(given.usage::jsonb, s.usage),
    progress = CASE WHEN given.status = 'completed' THEN 100 ELSE s.progress END,
    finished_at = CASE WHEN given.status IN ('completed', 'failed') THEN clock_timestamp() END
  FROM given
  WHERE s.id = given.step AND {still}
  RETURNING s.id, s.execution_id, s.status, s.dependents, s.attempt, given.action, given.error, given.delay,
    given.silence
), freed AS (
  SELECT execution_id, child, count(*) AS parents FROM recorded, unnest(dependents) AS child
  WHERE status = 'completed' GROUP BY execution_id, child
), released AS (
  UPDATE workflow_steps s SET
    missing_dependencies = s.missing_dependencies - freed.parents,
    status = CASE WHEN s.missing_dependencies = freed.parents THEN 'ready' ELSE s.status END,
    ready_at = CASE WHEN s.missing_dependencies = freed.parents THEN clock_timestamp() END
  FROM freed
  WHERE s.execution_id = freed.execution_id AND s.index = freed.child AND s.status = 'pending'
), events AS (
  INSERT INTO audit_events (actor, action, object, execution_id, changes)
  SELECT %(actor)s, action, 'step:' || id, execution_id,
    jsonb_strip_nulls(jsonb_build_object(
      'status', status, 'attempt', attempt, 'error', error::jsonb, 'delaySeconds', nullif(delay, 0),
      'silenceSeconds', silence))
  FROM recorded
)
SELECT id, execution_id, status FROM recorded
"""
# An outcome counts only from the holder of the token.
RECORD = _RECORD.format(still="s.token = given.token AND s.status = 'running'")

# An attempt that an outside worker may answer: it is being posted, it was, or it goes on under the same number after
# a crash, a stop or a busy answer.
_OPEN = """(
  s.status = 'running' OR s.answer_by IS NOT NULL OR (s.status IN ('ready', 'waiting') AND s.repeats_attempt))"""
ANSWER = _RECORD.format(still=_OPEN)

SIGN_OF_LIFE = f"""
UPDATE workflow_steps s SET
  progress = coalesce(%(progress)s, s.progress), message = coalesce(%(message)s, s.message),
  answer_by = CASE WHEN s.answer_by IS NOT NULL THEN least(
    clock_timestamp() + s.silence_seconds * interval '1 second',
    s.started_at + s.timeout_seconds * interval '1 second') END
WHERE s.id = %(step)s AND {_OPEN}
"""

# Whose are the steps whose outcome was not taken? The holder's own token means: it was recorded before.
WHOSE = """
SELECT id, token FROM workflow_steps WHERE id = ANY(%(steps)s::uuid[])
"""

# What stands behind a step that failed for good.
SKIP = """
WITH RECURSIVE behind AS (
  SELECT s.execution_id, s.name AS cause, below AS child FROM workflow_steps s, unnest(s.dependents) AS below
  WHERE s.id = ANY(%(steps)s::uuid[])
  UNION
  SELECT s.execution_id, b.cause, below
  FROM behind b JOIN workflow_steps s ON s.execution_id = b.execution_id AND s.index = b.child,
    unnest(s.dependents) AS below
), skipped AS (
  UPDATE workflow_steps s SET status = 'skipped', finished_at = clock_timestamp(), error = jsonb_build_object(
    'code', 'skipped', 'message', 'not run, because "' || behind.cause || '" failed', 'retryable', false)
  FROM behind
  WHERE s.execution_id = behind.execution_id AND s.index = behind.child AND s.status = 'pending'
  RETURNING s.id, s.execution_id
), events AS (
  INSERT INTO audit_events (actor, action, object, execution_id, changes)
  SELECT %(actor)s, 'step.skipped', 'step:' || id, execution_id, '{"status": "skipped"}' FROM skipped
)
SELECT execution_id, count(*) FROM skipped GROUP BY execution_id
"""

_AS_CLAIMS = """
SELECT s.id, s.token, s.execution_id, s.index, s.name, s.description, s.tool, s.arguments, s.depends_on,
  s.attempt, s.attempts_before, s.max_attempts, s.timeout_seconds, s.round, s.crashes,
  extract(epoch FROM clock_timestamp() - s.waiting_since)::float8,
  e.owner_id, u.username, e.name, e.description, e.mode, e.model_id, e.project_id, e.tags
FROM {steps} s JOIN workflow_executions e ON e.id = s.execution_id JOIN auth_user u ON u.id = e.owner_id
"""

# Up to `count` due steps of each execution, each on a lane of its own: the unique index on running lanes
# keeps `max_parallel` whatever else happens.
CLAIM = """
WITH wanted AS (
  SELECT * FROM unnest(%(executions)s::uuid[], %(counts)s::int[]) AS wanted(execution, count)
), chosen AS (
  SELECT step.id, free.lane, row_number() OVER () AS number
  FROM wanted JOIN workflow_executions e ON e.id = wanted.execution AND e.status IN ('queued', 'running', 'waiting')
    AND NOT EXISTS (SELECT FROM workflow_pauses)
  CROSS JOIN LATERAL (
    SELECT id, row_number() OVER (ORDER BY ready_at, index) AS place FROM workflow_steps
    WHERE execution_id = e.id AND status IN ('ready', 'waiting') AND ready_at <= statement_timestamp()
      AND tool = ANY(%(tools)s)
    ORDER BY ready_at, index LIMIT wanted.count
  ) step
  JOIN LATERAL (
    SELECT lane, row_number() OVER (ORDER BY lane) AS place FROM generate_series(1, e.max_parallel) AS lane
    WHERE NOT EXISTS (
      SELECT FROM workflow_steps r WHERE r.execution_id = e.id AND r.status = 'running' AND r.lane = lane.lane)
  ) free ON free.place = step.place
), claimed AS (
  UPDATE workflow_steps s SET
    status = 'running', token = (%(tokens)s::uuid[])[chosen.number], lane = chosen.lane, worker = %(worker)s,
    lease_until = clock_timestamp() + %(lease)s * interval '1 second',
    attempt = s.attempt + CASE WHEN s.repeats_attempt THEN 0 ELSE 1 END, repeats_attempt = false,
    started_at = clock_timestamp(), finished_at = NULL, ready_at = NULL, progress = 0, message = '', error = NULL
  FROM chosen WHERE s.id = chosen.id
  RETURNING s.*
), events AS (
  INSERT INTO audit_events (actor, action, object, execution_id, changes)
  SELECT %(actor)s, 'step.started', 'step:' || id, execution_id,
    jsonb_build_object('status', 'running', 'attempt', attempt)
  FROM claimed
)
""" + _AS_CLAIMS.format(steps="claimed")

ANSWERED = _AS_CLAIMS.format(steps="workflow_steps") + f"WHERE s.id = %(step)s AND {_OPEN}"

SILENT = "SELECT DISTINCT execution_id FROM workflow_steps WHERE answer_by < statement_timestamp() LIMIT %(limit)s"
OVERDUE = (
    _AS_CLAIMS.format(steps="workflow_steps")
    + "WHERE s.execution_id = ANY(%(executions)s::uuid[]) AND s.answer_by < statement_timestamp()"
)

# Brings the execution's row in line with its steps. Returns what `engine` needs to settle its message.
SETTLE = """
WITH given AS (
  SELECT * FROM unnest(%(executions)s::uuid[], %(completed)s::int[], %(failed)s::int[], %(finished)s::int[])
    AS given(execution, completed, failed, finished)
), seen AS (
  SELECT given.*, e.status AS old_status, e.message_id AS old_message, e.wake_at AS old_wake_at,
    e.steps_total, e.steps_completed + given.completed AS all_completed, e.steps_failed + given.failed AS all_failed,
    e.steps_finished + given.finished AS all_finished, e.tolerates_failures,
    (SELECT count(*) FROM workflow_steps r WHERE r.execution_id = e.id AND r.status = 'running') AS running,
    next.tool, next.slot, next.ready_at
  FROM given JOIN workflow_executions e ON e.id = given.execution AND e.status IN ('queued', 'running', 'waiting')
  LEFT JOIN LATERAL (
    SELECT tool, slot, ready_at FROM workflow_steps s
    WHERE s.execution_id = e.id AND s.status IN ('ready', 'waiting') AND s.ready_at IS NOT NULL
    ORDER BY s.ready_at, s.index LIMIT 1
  ) next ON true
), settled AS (
  UPDATE workflow_executions e SET
    steps_completed = seen.all_completed, steps_failed = seen.all_failed, steps_finished = seen.all_finished,
    steps_running = seen.running,
    next_tool = seen.tool, next_slot = seen.slot,
    status = CASE
      WHEN seen.all_finished < seen.steps_total THEN CASE
        WHEN seen.running > 0 THEN 'running'
        WHEN seen.ready_at <= statement_timestamp() THEN CASE WHEN e.started_at IS NULL THEN 'queued' ELSE 'running' END
        ELSE 'waiting' END
      WHEN seen.all_completed = seen.steps_total THEN 'completed'
      WHEN seen.tolerates_failures AND seen.all_completed > 0 THEN 'completed_with_errors'
      ELSE 'failed' END,
    started_at = CASE WHEN seen.running > 0 THEN coalesce(e.started_at, clock_timestamp()) ELSE e.started_at END,
    finished_at = CASE WHEN seen.all_finished = seen.steps_total THEN clock_timestamp() END,
    changed_at = clock_timestamp()
  FROM seen WHERE e.id = seen.execution
  RETURNING e.id, seen.old_status, e.status, e.queue, e.job_type, seen.old_message,
    seen.old_wake_at, CASE WHEN seen.running < e.max_parallel THEN seen.ready_at END AS wake_at
)
SELECT * FROM settled
"""

SEND = """
WITH given AS (
  SELECT nextval('django_q_ormq_id_seq') AS id, * FROM unnest(
    %(executions)s::uuid[], %(queues)s::text[], %(payloads)s::text[], %(due)s::timestamptz[]
  ) AS given(execution, queue, payload, due)
), sent AS (
  INSERT INTO django_q_ormq (id, key, payload, lock) SELECT id, queue, payload, due FROM given
)
UPDATE workflow_executions e SET message_id = given.id, wake_at = given.due FROM given WHERE e.id = given.execution
"""

UNSEND = """
WITH gone AS (DELETE FROM django_q_ormq WHERE id = ANY(%(messages)s::bigint[]))
UPDATE workflow_executions SET message_id = NULL, wake_at = NULL
WHERE id = ANY(%(executions)s::uuid[]) AND message_id = ANY(%(messages)s::bigint[])
"""

MOVE = """
WITH given AS (
  SELECT * FROM unnest(%(executions)s::uuid[], %(messages)s::bigint[], %(due)s::timestamptz[])
    AS given(execution, message, due)
), moved AS (
  UPDATE django_q_ormq q SET lock = given.due FROM given WHERE q.id = given.message
)
UPDATE workflow_executions e SET wake_at = given.due FROM given WHERE e.id = given.execution
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

# In the order of the keys: two workers may hear of the same providers at once.
COOL_DOWN = """
INSERT INTO workflow_cooldowns (key, until)
SELECT key, clock_timestamp() + max(seconds) * interval '1 second'
FROM unnest(%(keys)s::text[], %(seconds)s::float8[]) AS told(key, seconds) GROUP BY key ORDER BY key
ON CONFLICT (key) DO UPDATE SET until = greatest(workflow_cooldowns.until, excluded.until)
"""
COOLDOWNS = """
SELECT key, extract(epoch FROM until - clock_timestamp())::float8 FROM workflow_cooldowns
WHERE until > statement_timestamp()
"""

KEEP_ARGUMENTS = """
UPDATE workflow_steps SET arguments = %(arguments)s::jsonb
WHERE id = %(step)s AND token = %(token)s AND status = 'running' RETURNING id
"""

START = """
WITH execution AS (
  INSERT INTO workflow_executions (
    id, owner_id, job_type, name, description, mode, model_id, project_id, tags, payload, queue, max_parallel,
    tolerates_failures, status, steps_total, steps_running, steps_completed, steps_failed, steps_finished,
    message_id, wake_at, next_tool, next_slot)
  VALUES (
    %(execution)s, %(owner)s, %(job_type)s, %(name)s, %(description)s, %(mode)s, %(model_id)s, %(project_id)s,
    %(tags)s, %(payload)s, %(queue)s, %(max_parallel)s, %(tolerates_failures)s,
    CASE WHEN %(delay)s > 0 THEN 'waiting' ELSE 'queued' END, %(total)s, 0, 0, 0, 0,
    nextval('django_q_ormq_id_seq'), statement_timestamp() + %(delay)s * interval '1 second',
    %(next_tool)s, %(next_slot)s)
  RETURNING message_id, queue, wake_at
), message AS (
  INSERT INTO django_q_ormq (id, key, payload, lock)
  SELECT message_id, queue, %(message)s, wake_at FROM execution
), steps AS (
  INSERT INTO workflow_steps (
    id, execution_id, index, name, description, tool, slot, arguments, depends_on, dependents, missing_dependencies,
    status, ready_at, attempt, attempts_before, round, repeats_attempt, max_attempts, timeout_seconds, crashes,
    progress, message, model)
  SELECT given.id, %(execution)s, (place - 1)::int, given.name, given.description, given.tool, given.slot,
    given.arguments,
    given.depends_on::int[], given.dependents::int[], cardinality(given.depends_on::int[]),
    CASE WHEN given.depends_on = '{}' THEN 'ready' ELSE 'pending' END,
    CASE WHEN given.depends_on = '{}' THEN statement_timestamp() + %(delay)s * interval '1 second' END,
    0, 0, 1, false, given.max_attempts, given.timeout_seconds, 0, 0, '', ''
  FROM unnest(
    %(ids)s::uuid[], %(names)s::text[], %(descriptions)s::text[], %(tools)s::text[], %(slots)s::text[],
    %(arguments)s::jsonb[], %(depends_on)s::text[], %(dependents)s::text[], %(max_attempts)s::int[], %(timeouts)s::int[]
  ) WITH ORDINALITY
    AS given(
      id, name, description, tool, slot, arguments, depends_on, dependents, max_attempts, timeout_seconds, place)
)
INSERT INTO audit_events (actor, action, object, execution_id, changes)
VALUES (%(actor)s, 'job.queued', 'job:' || %(execution)s::text, %(execution)s, %(changes)s)
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

# Seconds until the next message that is not due yet.
NEXT_DUE = """
SELECT extract(epoch FROM min(first) - statement_timestamp())::float8 FROM (VALUES ('high'), ('normal'), ('low')) q(key)
CROSS JOIN LATERAL (
  SELECT lock AS first FROM django_q_ormq o WHERE o.key = q.key AND lock > statement_timestamp() ORDER BY lock LIMIT 1
) next
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
