-- The parts of every verb that changes steps: their outcomes, their claims, and what follows for the executions. Whoever
-- calls these has locked the executions. An execution that goes on is told by its `finished_at`: asked for its status, a
-- plan would read the whole index of those that are unfinished instead of the primary key.

-- How runs of steps ended, under the executions' locks. `_outcomes` are `Outcome`s: see `turn.described`; `_outputs` are
-- theirs, in the same order. A lane that goes on passes to the first step behind the one that has ended, if that is ready
-- now and a tool of `_tools`: it is claimed in the same statement. An execution whose lanes have all passed on so is done
-- with: what runs and what is ready are as many as before, so only its counters change.
-- Returns the steps whose outcomes were taken; `claims`, each a `Claim`; the executions that are to be settled, one for
-- each of their steps that has ended or was skipped, with its status; and the lanes that go on and found nothing here.
CREATE FUNCTION workflow_record_2(
  _outcomes json, _outputs text[], _is_answer bool, _tools text[], _worker uuid, _lease float8, _actor text,
  OUT steps uuid[], OUT claims json[], OUT executions uuid[], OUT statuses text[],
  OUT lane_executions uuid[], OUT lane_slots text[])
LANGUAGE plpgsql AS $$
DECLARE
  _now timestamptz := clock_timestamp();
  _failed uuid[];
  _skipped_in uuid[];
BEGIN
  WITH new AS (
    SELECT * FROM ROWS FROM (json_to_recordset(_outcomes) AS (
      step uuid, token uuid, status text, action text, delay float8, repeats bool, crashes int, waits bool, error text,
      model text, usage text, silence float8, slot text, lane int), unnest(_outputs)) AS new(
      step, token, status, action, delay, repeats, crashes, waits, error, model, usage, silence, slot, lane, output)
  ), ended AS (
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
    RETURNING s.id, s.execution_id, s.status, s.attempt, s.dependents, new.action, new.error, new.delay, new.silence,
      new.slot, new.lane
  ), freed AS (
    SELECT execution_id, child, count(*) AS parents,
      min(slot) FILTER (WHERE child = dependents[1]) AS slot, min(lane) FILTER (WHERE child = dependents[1]) AS lane
    FROM ended, unnest(dependents) AS child WHERE status = 'completed' GROUP BY execution_id, child
  ), children AS (
    SELECT s.id, s.execution_id, freed.parents, freed.slot, freed.lane,
      s.missing_dependencies = freed.parents AS is_ready,
      (s.missing_dependencies = freed.parents AND s.slot = freed.slot AND s.tool = ANY(_tools)) IS TRUE AS passes
    FROM freed JOIN workflow_steps s
      ON s.execution_id = freed.execution_id AND s.index = freed.child AND s.status = 'pending'
  ), released AS (
    UPDATE workflow_steps s SET
      missing_dependencies = s.missing_dependencies - children.parents,
      status = CASE WHEN children.is_ready THEN 'ready' ELSE s.status END,
      ready_at = CASE WHEN children.is_ready THEN _now END
    FROM children WHERE s.id = children.id AND NOT children.passes
  ), begun AS (
    UPDATE workflow_steps s SET
      missing_dependencies = 0, status = 'running', token = gen_random_uuid(), lane = children.lane, worker = _worker,
      lease_until = clock_timestamp() + _lease * interval '1 second', attempt = s.attempt + 1,
      started_at = clock_timestamp()
    FROM children WHERE s.id = children.id AND children.passes
    RETURNING s.*
  ), events AS (
    INSERT INTO audit_events (actor, action, object, execution_id, changes)
    SELECT _actor, action, 'step:' || id, execution_id, jsonb_strip_nulls(jsonb_build_object(
      'status', status, 'attempt', attempt, 'error', error::jsonb, 'delaySeconds', nullif(delay, 0),
      'silenceSeconds', silence))
    FROM ended
    UNION ALL
    SELECT _actor, 'step.started', 'step:' || id, execution_id, jsonb_build_object('status', status, 'attempt', attempt)
    FROM begun
  ), passed AS (
    UPDATE workflow_executions e SET
      steps_completed = e.steps_completed + told.ended, steps_finished = e.steps_finished + told.ended,
      changed_at = clock_timestamp()
    FROM (
      SELECT execution_id, sum(ended) AS ended
      FROM (
        SELECT execution_id, 1 AS ended, 0 AS begun, status = 'completed' AS passes FROM ended UNION ALL
        SELECT execution_id, 0, children.passes::int, children.passes OR NOT is_ready FROM children
      ) each GROUP BY execution_id HAVING bool_and(passes) AND sum(ended) = sum(begun)
    ) told WHERE e.id = told.execution_id
    RETURNING e.id
  ), settled AS (
    SELECT array_agg(execution_id) AS executions, array_agg(status) AS statuses,
      array_agg(id) FILTER (WHERE status = 'failed' AND dependents <> '{}') AS failed
    FROM ended WHERE execution_id NOT IN (SELECT id FROM passed)
  ), left_over AS (
    SELECT array_agg(execution_id) AS executions, array_agg(slot) AS slots FROM (
      SELECT execution_id, slot FROM ended WHERE slot IS NOT NULL EXCEPT ALL
      SELECT execution_id, slot FROM children WHERE passes
    ) lanes
  )
  SELECT
    (SELECT array_agg(id) FROM ended),
    (SELECT array_agg(json_build_array(
        s.id, s.token, s.execution_id, s.index, s.name, s.description, s.tool, s.arguments, s.depends_on, s.attempt,
        s.attempts_before, s.max_attempts, s.timeout_seconds, s.round, s.crashes,
        extract(epoch FROM clock_timestamp() - s.waiting_since), s.lane, e.owner_id, u.username, e.name, e.description,
        e.mode, e.model_id, e.project_id, e.tags))
      FROM begun s JOIN workflow_executions e ON e.id = s.execution_id JOIN auth_user u ON u.id = e.owner_id),
    settled.executions, settled.statuses, left_over.executions, left_over.slots, settled.failed
  INTO steps, claims, executions, statuses, lane_executions, lane_slots, _failed FROM settled, left_over;

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

-- Claims a due step for each of the places given, an execution and a kind of slot: its lane is one that is free. The
-- unique index on running lanes keeps `max_parallel` whatever else happens. Each of the result is a `Claim`.
CREATE FUNCTION workflow_claim_2(
  _executions uuid[], _slots text[], _tools text[], _worker uuid, _lease float8, _actor text
) RETURNS json[]
LANGUAGE plpgsql AS $$
DECLARE
  _now timestamptz := clock_timestamp();
  _claims json[];
BEGIN
  -- Materialized: as part of a larger plan it would be read in the order of all executions, for the sake of the places.
  WITH found AS MATERIALIZED (
    SELECT step.*, e.id AS execution, e.max_parallel
    FROM (
      SELECT execution, slot, count(*) AS number FROM unnest(_executions, _slots) AS given(execution, slot)
      GROUP BY execution, slot
    ) wanted
    JOIN workflow_executions e ON e.id = wanted.execution AND e.finished_at IS NULL
    CROSS JOIN LATERAL (
      SELECT id, ready_at, index FROM workflow_steps
      WHERE execution_id = e.id AND status IN ('ready', 'waiting') AND ready_at <= _now AND tool = ANY(_tools)
        AND CASE WHEN crashes < 2 THEN slot ELSE 'alone' END = wanted.slot
      ORDER BY ready_at, index LIMIT wanted.number
    ) step
  ), placed AS (
    SELECT *, row_number() OVER (PARTITION BY execution ORDER BY ready_at, index) AS place FROM found
  ), chosen AS (
    SELECT placed.id, free.lane FROM placed JOIN LATERAL (
      SELECT lane, row_number() OVER (ORDER BY lane) AS place FROM generate_series(1, placed.max_parallel) AS lane
      WHERE NOT EXISTS (
        SELECT FROM workflow_steps r
        WHERE r.execution_id = placed.execution AND r.status = 'running' AND r.lane = lane.lane)
    ) free ON free.place = placed.place
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
    SELECT _actor, 'step.started', 'step:' || id, execution_id, jsonb_build_object('status', status, 'attempt', attempt)
    FROM claimed
  )
  SELECT array_agg(json_build_array(
    s.id, s.token, s.execution_id, s.index, s.name, s.description, s.tool, s.arguments, s.depends_on, s.attempt,
    s.attempts_before, s.max_attempts, s.timeout_seconds, s.round, s.crashes,
    extract(epoch FROM clock_timestamp() - s.waiting_since), s.lane, e.owner_id, u.username, e.name, e.description,
    e.mode, e.model_id, e.project_id, e.tags))
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
CREATE FUNCTION workflow_settle_2(
  _executions uuid[], _statuses text[], _consumed uuid[], _messages json, _actor text
) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
  _job record;
  _status text;
  _due timestamptz;
  _id bigint;
  _text text;
  _wake_at timestamptz;
  _wake text[] := '{}';
BEGIN
  FOR _job IN
    SELECT e.*, e.steps_completed + given.completed AS completed, e.steps_failed + given.failed AS failed,
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
      SELECT tool, CASE WHEN crashes < 2 THEN slot ELSE 'alone' END AS slot, ready_at FROM workflow_steps s
      WHERE s.execution_id = e.id AND s.status IN ('ready', 'waiting') AND s.ready_at IS NOT NULL
      ORDER BY s.ready_at, s.index LIMIT 1
    ) next ON true
  LOOP
    _status := CASE
      WHEN _job.finished < _job.steps_total THEN CASE
        WHEN _job.running > 0 THEN 'running'
        WHEN _job.ready_at <= clock_timestamp() THEN CASE WHEN _job.started_at IS NULL THEN 'queued' ELSE 'running' END
        ELSE 'waiting' END
      WHEN _job.completed = _job.steps_total THEN 'completed'
      WHEN _job.tolerates_failures AND _job.completed > 0 THEN 'completed_with_errors'
      ELSE 'failed' END;
    IF _status <> _job.status
      AND (_status NOT IN ('queued', 'running') OR (_status = 'running' AND _job.status = 'queued')) THEN
      INSERT INTO audit_events (actor, action, object, execution_id, changes)
      VALUES (_actor, 'job.' || CASE _status WHEN 'running' THEN 'started' ELSE _status END,
        'job:' || _job.id, _job.id, jsonb_build_object(
          'status', _status, 'from', _job.status, 'jobType', _job.job_type));
    END IF;

    _due := CASE WHEN _job.running < _job.max_parallel THEN _job.ready_at END;
    _id := _job.message_id;
    _wake_at := _job.wake_at;
    _text := NULL;
    IF _id IS NOT NULL AND (_due IS NULL OR _job.id = ANY(_consumed)) THEN
      DELETE FROM django_q_ormq WHERE id = _id RETURNING payload INTO _text;
      _id := NULL;
      _wake_at := NULL;
    END IF;
    IF _id IS NULL AND _due IS NOT NULL THEN
      _text := coalesce(_text, _messages->>(_job.id::text));
      IF _text IS NOT NULL THEN
        -- Due work goes to the end of its queue.
        _wake_at := greatest(_due, clock_timestamp());
        INSERT INTO django_q_ormq (key, payload, lock) VALUES (_job.queue, _text, _wake_at) RETURNING id INTO _id;
        _wake := _wake || _job.slot::text;
      END IF;
    ELSIF _due < coalesce(_wake_at, 'infinity') OR (_due IS NOT NULL AND _job.slot <> _job.next_slot) THEN
      -- Also where other slots are needed now: who has those begins its looks where the last one ended.
      _wake_at := greatest(_due, clock_timestamp());
      UPDATE django_q_ormq SET lock = _wake_at WHERE id = _id;
      _wake := _wake || _job.slot::text;
    END IF;

    UPDATE workflow_executions SET
      status = _status, steps_completed = _job.completed, steps_failed = _job.failed, steps_finished = _job.finished,
      steps_running = _job.running, next_tool = _job.tool, next_slot = _job.slot,
      started_at = CASE WHEN _job.running > 0 THEN coalesce(started_at, clock_timestamp()) ELSE started_at END,
      finished_at = CASE WHEN _job.finished = steps_total THEN clock_timestamp() END,
      changed_at = clock_timestamp(), message_id = _id, wake_at = _wake_at
    WHERE id = _job.id;
  END LOOP;
  RETURN _wake;
END $$;
