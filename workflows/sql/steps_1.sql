-- The parts of every verb that changes steps: their outcomes, their claims, and what follows for the executions. Whoever
-- calls these has locked the executions. An execution that goes on is told by its `finished_at`: asked for its status, a
-- plan would read the whole index of those that are unfinished instead of the primary key.

-- How runs of steps ended, under the executions' locks. `_outcomes` are `Outcome`s: see `turn.described`; `_outputs` are
-- theirs, in the same order. Returns the steps whose outcomes were taken; and, of each that has ended, be it by being
-- skipped behind a failure, the execution and the status.
CREATE FUNCTION workflow_record_1(
  _outcomes jsonb, _outputs text[], _is_answer bool, _actor text,
  OUT steps uuid[], OUT executions uuid[], OUT statuses text[])
LANGUAGE plpgsql AS $$
DECLARE
  _now timestamptz := clock_timestamp();
  _failed uuid[];
  _skipped_in uuid[];
BEGIN
  WITH new AS (
    SELECT * FROM ROWS FROM (jsonb_to_recordset(_outcomes) AS (
      step uuid, token uuid, status text, action text, delay float8, repeats bool, crashes int, waits bool, error text,
      model text, usage text, silence float8), unnest(_outputs)) AS new(
      step, token, status, action, delay, repeats, crashes, waits, error, model, usage, silence, output)
  ), recorded AS (
    UPDATE workflow_steps s SET
      status = new.status,
      ready_at = _now + new.delay * interval '1 second',
      repeats_attempt = new.repeats,
      crashes = s.crashes + new.crashes,
      waiting_since = CASE WHEN new.waits THEN coalesce(s.waiting_since, _now) END,
      lane = NULL, lease_until = NULL,
      silence_seconds = new.silence,
      -- A step that waits outside does so no longer than its own limit.
      answer_by = CASE WHEN new.silence IS NOT NULL THEN least(
        _now + new.silence * interval '1 second', s.started_at + s.timeout_seconds * interval '1 second') END,
      output = new.output::jsonb, error = new.error::jsonb,
      model = coalesce(new.model, s.model), usage = coalesce(new.usage::jsonb, s.usage),
      progress = CASE WHEN new.status = 'completed' THEN 100 ELSE s.progress END,
      finished_at = CASE WHEN new.status IN ('completed', 'failed') THEN _now END
    FROM new
    -- An outcome counts only from the holder of the token; an answer was seen, under the same lock, to be for an attempt
    -- that is open.
    WHERE s.id = new.step AND (_is_answer OR (s.status = 'running' AND s.token = new.token))
    RETURNING s.id, s.execution_id, s.status, s.attempt, s.dependents, new.action, new.error, new.delay, new.silence
  ), freed AS (
    SELECT execution_id, child, count(*) AS parents FROM recorded, unnest(dependents) AS child
    WHERE status = 'completed' GROUP BY execution_id, child
  ), released AS (
    UPDATE workflow_steps s SET
      missing_dependencies = s.missing_dependencies - freed.parents,
      status = CASE WHEN s.missing_dependencies = freed.parents THEN 'ready' ELSE s.status END,
      ready_at = CASE WHEN s.missing_dependencies = freed.parents THEN _now END
    FROM freed
    WHERE s.execution_id = freed.execution_id AND s.index = freed.child AND s.status = 'pending'
  ), events AS (
    INSERT INTO audit_events (actor, action, object, execution_id, changes)
    SELECT _actor, action, 'step:' || id, execution_id, jsonb_strip_nulls(jsonb_build_object(
      'status', status, 'attempt', attempt, 'error', error::jsonb, 'delaySeconds', nullif(delay, 0),
      'silenceSeconds', silence))
    FROM recorded
  )
  SELECT array_agg(id), array_agg(execution_id), array_agg(recorded.status), array_agg(id) FILTER (
    WHERE recorded.status = 'failed' AND dependents <> '{}')
  INTO steps, executions, statuses, _failed FROM recorded;

  IF _failed IS NOT NULL THEN
    WITH RECURSIVE behind AS (
      SELECT s.execution_id, s.name AS cause, below AS child FROM workflow_steps s, unnest(s.dependents) AS below
      WHERE s.id = ANY(_failed)
      UNION
      SELECT s.execution_id, behind.cause, below
      FROM behind JOIN workflow_steps s ON s.execution_id = behind.execution_id AND s.index = behind.child,
        unnest(s.dependents) AS below
    ), skipped AS (
      UPDATE workflow_steps s SET status = 'skipped', finished_at = _now, error = jsonb_build_object(
        'code', 'skipped', 'message', 'not run, because "' || behind.cause || '" failed', 'retryable', false)
      FROM behind
      WHERE s.execution_id = behind.execution_id AND s.index = behind.child AND s.status = 'pending'
      RETURNING s.id, s.execution_id
    ), events AS (
      INSERT INTO audit_events (actor, action, object, execution_id, changes)
      SELECT _actor, 'step.skipped', 'step:' || id, execution_id, '{"status": "skipped"}' FROM skipped
    )
    SELECT array_agg(execution_id) INTO _skipped_in FROM skipped;
    executions := executions || _skipped_in;
    statuses := statuses || array_fill('skipped'::text, ARRAY[coalesce(cardinality(_skipped_in), 0)]);
  END IF;
END $$;

-- Claims up to so many due steps of each execution, each on a lane of its own: the unique index on running lanes keeps
-- `max_parallel` whatever else happens. Each of the result is a `Claim`.
CREATE FUNCTION workflow_claim_1(
  _executions uuid[], _counts int[], _tools text[], _worker uuid, _lease float8, _actor text
) RETURNS json[]
LANGUAGE plpgsql AS $$
DECLARE
  _now timestamptz := clock_timestamp();
  _claims json[];
BEGIN
  WITH chosen AS (
    SELECT step.id, free.lane
    FROM unnest(_executions, _counts) AS wanted(execution, count)
    JOIN workflow_executions e ON e.id = wanted.execution AND e.finished_at IS NULL
      AND NOT EXISTS (SELECT FROM workflow_pauses)
    CROSS JOIN LATERAL (
      SELECT id, row_number() OVER (ORDER BY ready_at, index) AS place FROM workflow_steps
      WHERE execution_id = e.id AND status IN ('ready', 'waiting') AND ready_at <= _now AND tool = ANY(_tools)
      ORDER BY ready_at, index LIMIT wanted.count
    ) step
    JOIN LATERAL (
      SELECT lane, row_number() OVER (ORDER BY lane) AS place FROM generate_series(1, e.max_parallel) AS lane
      WHERE NOT EXISTS (
        SELECT FROM workflow_steps r WHERE r.execution_id = e.id AND r.status = 'running' AND r.lane = lane.lane)
    ) free ON free.place = step.place
  ), claimed AS (
    UPDATE workflow_steps s SET
      status = 'running', token = gen_random_uuid(), lane = chosen.lane, worker = _worker,
      lease_until = clock_timestamp() + _lease * interval '1 second',
      attempt = s.attempt + CASE WHEN s.repeats_attempt THEN 0 ELSE 1 END, repeats_attempt = false,
      started_at = clock_timestamp(), finished_at = NULL, ready_at = NULL, progress = 0, message = '', error = NULL
    FROM chosen WHERE s.id = chosen.id
    RETURNING s.*
  ), events AS (
    INSERT INTO audit_events (actor, action, object, execution_id, changes)
    SELECT _actor, 'step.started', 'step:' || id, execution_id,
      jsonb_build_object('status', 'running', 'attempt', attempt)
    FROM claimed
  )
  SELECT array_agg(json_build_array(
    s.id, s.token, s.execution_id, s.index, s.name, s.description, s.tool, s.arguments, s.depends_on, s.attempt,
    s.attempts_before, s.max_attempts, s.timeout_seconds, s.round, s.crashes,
    extract(epoch FROM clock_timestamp() - s.waiting_since), e.owner_id, u.username, e.name, e.description, e.mode,
    e.model_id, e.project_id, e.tags))
  INTO _claims
  FROM claimed s JOIN workflow_executions e ON e.id = s.execution_id JOIN auth_user u ON u.id = e.owner_id;
  RETURN coalesce(_claims, '{}');
END $$;

-- Brings executions' rows in line with their steps, and their messages with what is to be done next: at most one each,
-- due when the next step is, while a lane is free. An execution stands there once for each step that has ended, with
-- its status, and as often as it likes with none.
-- A message that was `_consumed` by a claim is never used again: a stock cluster deletes it when its task ends.
-- `_messages` has the text of a new one by execution, where there is none whose text could be taken.
-- Returns the kinds of slots that somebody should look for work for.
CREATE FUNCTION workflow_settle_1(
  _executions uuid[], _statuses text[], _consumed uuid[], _messages jsonb, _actor text
) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
  _job record;
  _id bigint;
  _text text;
  _wake_at timestamptz;
  _wake text[] := '{}';
BEGIN
  FOR _job IN
    WITH seen AS (
      SELECT e.id, e.status AS old_status, e.message_id, e.wake_at,
        e.steps_completed + given.completed AS completed, e.steps_failed + given.failed AS failed,
        e.steps_finished + given.finished AS finished, next.tool, next.slot, next.ready_at,
        (SELECT count(*) FROM workflow_steps r WHERE r.execution_id = e.id AND r.status = 'running') AS running
      FROM (
        SELECT execution, count(*) FILTER (WHERE status = 'completed') AS completed,
          count(*) FILTER (WHERE status = 'failed') AS failed,
          count(*) FILTER (WHERE status IN ('completed', 'failed', 'skipped')) AS finished
        FROM unnest(_executions, _statuses) AS given(execution, status) GROUP BY execution
      ) given
      JOIN workflow_executions e ON e.id = given.execution AND e.finished_at IS NULL
      LEFT JOIN LATERAL (
        SELECT tool, slot, ready_at FROM workflow_steps s
        WHERE s.execution_id = e.id AND s.status IN ('ready', 'waiting') AND s.ready_at IS NOT NULL
        ORDER BY s.ready_at, s.index LIMIT 1
      ) next ON true
    )
    UPDATE workflow_executions e SET
      steps_completed = seen.completed, steps_failed = seen.failed, steps_finished = seen.finished,
      steps_running = seen.running, next_tool = seen.tool, next_slot = seen.slot,
      status = CASE
        WHEN seen.finished < e.steps_total THEN CASE
          WHEN seen.running > 0 THEN 'running'
          WHEN seen.ready_at <= clock_timestamp() THEN CASE WHEN e.started_at IS NULL THEN 'queued' ELSE 'running' END
          ELSE 'waiting' END
        WHEN seen.completed = e.steps_total THEN 'completed'
        WHEN e.tolerates_failures AND seen.completed > 0 THEN 'completed_with_errors'
        ELSE 'failed' END,
      started_at = CASE WHEN seen.running > 0 THEN coalesce(e.started_at, clock_timestamp()) ELSE e.started_at END,
      finished_at = CASE WHEN seen.finished = e.steps_total THEN clock_timestamp() END,
      changed_at = clock_timestamp()
    FROM seen WHERE e.id = seen.id
    RETURNING e.id, e.status, e.queue, e.job_type, seen.old_status, seen.message_id, seen.wake_at, seen.slot,
      CASE WHEN seen.running < e.max_parallel THEN seen.ready_at END AS due
  LOOP
    IF _job.status <> _job.old_status
      AND (_job.status NOT IN ('queued', 'running') OR (_job.status = 'running' AND _job.old_status = 'queued')) THEN
      INSERT INTO audit_events (actor, action, object, execution_id, changes)
      VALUES (_actor, 'job.' || CASE _job.status WHEN 'running' THEN 'started' ELSE _job.status END,
        'job:' || _job.id, _job.id, jsonb_build_object(
          'status', _job.status, 'from', _job.old_status, 'jobType', _job.job_type));
    END IF;

    _id := _job.message_id;
    _wake_at := _job.wake_at;
    _text := NULL;
    IF _id IS NOT NULL AND (_job.due IS NULL OR _job.id = ANY(_consumed)) THEN
      DELETE FROM django_q_ormq WHERE id = _id RETURNING payload INTO _text;
      _id := NULL;
      _wake_at := NULL;
    END IF;
    _text := coalesce(_text, _messages->>(_job.id::text));
    IF _id IS NULL AND _job.due IS NOT NULL AND _text IS NOT NULL THEN
      -- Due work goes to the end of its queue.
      _wake_at := greatest(_job.due, clock_timestamp());
      INSERT INTO django_q_ormq (key, payload, lock) VALUES (_job.queue, _text, _wake_at) RETURNING id INTO _id;
      _wake := _wake || _job.slot::text;
    ELSIF _id IS NOT NULL AND _job.due < coalesce(_wake_at, 'infinity') THEN
      _wake_at := _job.due;
      UPDATE django_q_ormq SET lock = _wake_at WHERE id = _id;
      _wake := _wake || _job.slot::text;
    END IF;
    IF (_id, _wake_at) IS DISTINCT FROM (_job.message_id, _job.wake_at) THEN
      UPDATE workflow_executions SET message_id = _id, wake_at = _wake_at WHERE id = _job.id;
    END IF;
  END LOOP;
  RETURN _wake;
END $$;
