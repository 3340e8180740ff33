-- Claims due steps of executions that the caller has locked: one step for each pair of an execution and a kind of slot.
-- Each claimed step gets a free lane (1 to `max_parallel`). The unique index on running lanes keeps that limit whatever
-- else happens. Returns the ids of the claimed steps.
CREATE OR REPLACE FUNCTION workflow_claim(
  _executions uuid[], _slots text[], _tools text[], _paused text[], _worker uuid, _lease float8, _actor text
) RETURNS uuid[]
LANGUAGE plpgsql AS $$
DECLARE
  _now timestamptz := clock_timestamp();
  _claimed uuid[];
BEGIN
  -- Materialized, because the planner would otherwise read all executions in the order of the window below.
  WITH due AS MATERIALIZED (
    SELECT step.*, e.id AS execution, e.max_parallel
    FROM (
      SELECT execution, slot, count(*) AS number FROM unnest(_executions, _slots) AS given(execution, slot)
      GROUP BY execution, slot
    ) wanted
    -- ANY, although the join implies it: without statistics the planner would read all executions instead.
    JOIN workflow_executions e
      ON e.id = wanted.execution AND e.id = ANY(_executions) AND e.finished_at IS NULL
      AND e.project_id <> ALL(_paused)
    CROSS JOIN LATERAL (
      SELECT id, ready_at, index FROM workflow_steps
      WHERE execution_id = e.id AND status IN ('ready', 'waiting') AND ready_at <= _now AND tool = ANY(_tools)
        AND CASE WHEN crashes < 2 THEN slot ELSE 'alone' END = wanted.slot
      ORDER BY ready_at, index LIMIT wanted.number
    ) step
  ), numbered AS (
    SELECT *, row_number() OVER (PARTITION BY execution ORDER BY ready_at, index) AS place FROM due
  ), chosen AS (
    SELECT numbered.id, free.lane FROM numbered JOIN LATERAL (
      SELECT lane, row_number() OVER (ORDER BY lane) AS place FROM generate_series(1, numbered.max_parallel) AS lane
      WHERE NOT EXISTS (
        SELECT FROM workflow_steps r
        WHERE r.execution_id = numbered.execution AND r.status = 'running' AND r.lane = lane.lane)
    ) free ON free.place = numbered.place
  ), claimed AS (
    UPDATE workflow_steps s SET
      status = 'running', token = gen_random_uuid(), lane = chosen.lane, worker = _worker,
      lease_until = clock_timestamp() + _lease * interval '1 second',
      attempt = s.attempt + CASE WHEN s.repeats_attempt THEN 0 ELSE 1 END, repeats_attempt = false,
      started_at = clock_timestamp(), finished_at = NULL, ready_at = NULL, progress = 0, message = '',
      reported_at = NULL, error = NULL
    FROM chosen WHERE s.id = chosen.id
    RETURNING s.id, s.execution_id, s.status, s.attempt
  ), events AS (
    INSERT INTO audit_events (actor, action, object, execution_id, changes)
    SELECT _actor, 'step.started', 'step:' || id, execution_id, jsonb_build_object('status', status, 'attempt', attempt)
    FROM claimed
  )
  SELECT coalesce(array_agg(id), '{}') INTO _claimed FROM claimed;
  RETURN _claimed;
END $$;
-- What a worker needs to know to run these steps: one `Claim` (engine/claims.py) for each, with its fields in the same
-- order. This is the only place that lists them.
CREATE OR REPLACE FUNCTION workflow_claim_details(_steps uuid[]) RETURNS json[]
LANGUAGE sql STABLE AS $$
  SELECT array_agg(json_build_array(
    s.id, s.token, s.execution_id, s.index, s.name, s.description, s.tool, s.arguments, s.depends_on,
    s.attempt, s.attempts_before, s.max_attempts, s.timeout_seconds, s.round, s.crashes,
    extract(epoch FROM clock_timestamp() - s.waiting_since)::float8, s.lane,
    e.owner_id, u.username, e.name, e.description, e.mode, e.model_id, e.project_id, e.tags, u.is_active,
    s.tool <> '' AND s.arguments IS NOT NULL AND s.model <> '', s.approval, e.traceparent))
  FROM workflow_steps s
  JOIN workflow_executions e ON e.id = s.execution_id
  JOIN auth_user u ON u.id = e.owner_id
  WHERE s.id = ANY(_steps);
$$;
-- Picks due executions for one kind of slot and locks them. The order is: by queue, in a queue the executions that run
-- nothing before those that do, then by the time since which they are due. SKIP LOCKED leaves what another worker has
-- locked to that worker. `_since` leaves out executions that have been due for more seconds: see worker/capacity.py.
CREATE OR REPLACE FUNCTION workflow_pick(
  _slot text, _tools text[], _paused text[], _limit int, _since float8
) RETURNS uuid[]
LANGUAGE sql AS $$
  SELECT ARRAY(
    SELECT id FROM workflow_executions
    WHERE next_slot = _slot AND wake_at <= statement_timestamp() AND message_id IS NOT NULL AND next_tool = ANY(_tools)
      AND project_id <> ALL(_paused)
      AND wake_at > coalesce(statement_timestamp() - _since * interval '1 second', '-infinity')
    -- The expression is that of the index `execution_due`.
    ORDER BY CASE WHEN queue = 'high' THEN 0 WHEN queue = 'normal' THEN 2 ELSE 4 END
      + CASE WHEN steps_running > 0 THEN 1 ELSE 0 END, wake_at LIMIT _limit FOR UPDATE SKIP LOCKED);
$$;
-- Picks one execution of each owner who has nothing running, those that have waited longest first, and locks them. Few
-- owners have due executions at once, so the loop skips from owner to owner through an index, however many executions
-- each of them has.
CREATE OR REPLACE FUNCTION workflow_pick_newcomers(
  _slot text, _tools text[], _paused text[], _limit int
) RETURNS uuid[]
LANGUAGE plpgsql AS $$
DECLARE
  _owner int;
  _firsts uuid[] := '{}';
BEGIN
  LOOP
    SELECT owner_id INTO _owner FROM workflow_executions
    WHERE message_id IS NOT NULL AND next_slot = _slot AND owner_id > coalesce(_owner, 0) ORDER BY owner_id LIMIT 1;
    EXIT WHEN NOT FOUND;
    CONTINUE WHEN EXISTS (SELECT FROM workflow_executions WHERE owner_id = _owner AND steps_running > 0);
    _firsts := _firsts || ARRAY(
      SELECT id FROM workflow_executions
      WHERE next_slot = _slot AND owner_id = _owner AND wake_at <= statement_timestamp()
        AND message_id IS NOT NULL AND next_tool = ANY(_tools) AND project_id <> ALL(_paused)
      ORDER BY wake_at LIMIT 1);
  END LOOP;
  RETURN ARRAY(
    SELECT id FROM workflow_executions
    WHERE id = ANY(_firsts) AND next_slot = _slot AND message_id IS NOT NULL AND wake_at <= statement_timestamp()
    ORDER BY wake_at LIMIT _limit FOR UPDATE SKIP LOCKED);
END $$;
-- Records how attempts ended. The caller has locked their executions. `_outcomes` are `Outcome`s as JSON (see
-- `turn.outcome_fields`), `_outputs` their outputs in the same order. A lane that goes on continues with the first step
-- behind the one that has ended, if that is ready now and its tool is one of `_tools`.
-- Returns: `steps`, whose outcomes were accepted; `claimed`, the steps with which lanes continue; `executions` and
-- `statuses`, pairs for `workflow_settle`; `lane_executions` and `lane_slots`, the lanes that go on but found no step.
--
-- An unfinished execution is recognized by `finished_at`. With a condition on `status` the planner would read the
-- whole index of unfinished executions instead of the primary key.
CREATE OR REPLACE FUNCTION workflow_record(
  _outcomes json, _outputs text[], _is_answer bool, _tools text[], _worker uuid, _lease float8, _actor text,
  OUT steps uuid[], OUT claimed uuid[], OUT executions uuid[], OUT statuses text[],
  OUT lane_executions uuid[], OUT lane_slots text[])
LANGUAGE plpgsql SET jit = off AS $$
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

  -- 1. Write the outcomes. An outcome counts only with the token of the step's present claim. A callback (`_is_answer`)
  -- has none: the caller has checked, under the same lock, that its attempt is open.
  ), ended AS (
    UPDATE workflow_steps s SET
      status = new.status,
      ready_at = _now + new.delay * interval '1 second',
      repeats_attempt = new.repeats,
      crashes = s.crashes + new.crashes,
      waiting_since = CASE WHEN new.waits THEN coalesce(s.waiting_since, _now) END,
      lane = NULL, lease_until = NULL,
      silence_seconds = new.silence,
      -- A step waits for an outside worker no longer than its own time limit.
      answer_by = CASE WHEN new.silence IS NOT NULL THEN least(
        _now + new.silence * interval '1 second', s.started_at + s.timeout_seconds * interval '1 second') END,
      output = new.output::jsonb, error = new.error::jsonb,
      model = coalesce(new.model, s.model), usage = coalesce(new.usage::jsonb, s.usage),
      progress = CASE WHEN new.status = 'completed' THEN 100 ELSE s.progress END,
      finished_at = CASE WHEN new.status IN ('completed', 'failed') THEN _now END
    FROM new
    WHERE s.id = new.step AND (_is_answer OR (s.status = 'running' AND s.token = new.token))
    RETURNING s.id, s.execution_id, s.status, s.attempt, s.dependents, new.action, new.error, new.usage, new.delay,
      new.silence, new.slot, new.lane

  -- 2. Find the steps behind those that completed. `completed_parents` is how many of a step's parents did so now.
  -- `slot` and `lane` are those of the parent that lists it first: only that parent's lane may continue with it.
  ), freed AS (
    SELECT execution_id, child, count(*) AS completed_parents,
      min(slot) FILTER (WHERE child = dependents[1]) AS slot, min(lane) FILTER (WHERE child = dependents[1]) AS lane
    FROM ended, unnest(dependents) AS child WHERE status = 'completed' GROUP BY execution_id, child
  ), children AS (
    SELECT s.id, s.execution_id, freed.completed_parents, freed.slot, freed.lane,
      s.missing_dependencies = freed.completed_parents AS is_ready,
      (s.missing_dependencies = freed.completed_parents AND s.slot = freed.slot AND s.tool = ANY(_tools)) IS TRUE
        AS continues
    FROM freed JOIN workflow_steps s
      ON s.execution_id = freed.execution_id AND s.index = freed.child AND s.status = 'pending'

  -- 3. Release them, or claim them at once for the lane that continues. A child is written once, by one of the two.
  ), released AS (
    UPDATE workflow_steps s SET
      missing_dependencies = s.missing_dependencies - children.completed_parents,
      status = CASE WHEN children.is_ready THEN 'ready' ELSE s.status END,
      ready_at = CASE WHEN children.is_ready THEN _now END
    FROM children WHERE s.id = children.id AND NOT children.continues
  ), continued AS (
    UPDATE workflow_steps s SET
      missing_dependencies = 0, status = 'running', token = gen_random_uuid(), lane = children.lane, worker = _worker,
      lease_until = clock_timestamp() + _lease * interval '1 second', attempt = s.attempt + 1,
      started_at = clock_timestamp()
    FROM children WHERE s.id = children.id AND children.continues
    RETURNING s.id, s.execution_id, s.status, s.attempt

  -- 4. Write the audit events.
  ), events AS (
    INSERT INTO audit_events (actor, action, object, execution_id, changes)
    SELECT _actor, action, 'step:' || id, execution_id, jsonb_strip_nulls(jsonb_build_object(
      'status', status, 'attempt', attempt, 'error', error::jsonb, 'usage', usage::jsonb,
      'delaySeconds', nullif(delay, 0), 'silenceSeconds', silence))
    FROM ended
    UNION ALL
    SELECT _actor, 'step.started', 'step:' || id, execution_id, jsonb_build_object('status', status, 'attempt', attempt)
    FROM continued

  -- 5. Count. If every lane of an execution that ended a step has continued, and no other step became ready, then as
  -- many steps run and are ready as before: only the counters change, and the execution need not be settled.
  ), counted AS (
    UPDATE workflow_executions e SET
      steps_completed = e.steps_completed + done.ended, steps_finished = e.steps_finished + done.ended,
      changed_at = clock_timestamp()
    FROM (
      SELECT execution_id, sum(ended) AS ended
      FROM (
        SELECT execution_id, 1 AS ended, 0 AS continued, status = 'completed' AS is_even FROM ended UNION ALL
        SELECT execution_id, 0, children.continues::int, children.continues OR NOT is_ready FROM children
      ) each GROUP BY execution_id HAVING bool_and(is_even) AND sum(ended) = sum(continued)
    ) done WHERE e.id = done.execution_id
    RETURNING e.id

  -- 6. Collect what the caller has to do: executions to settle, lanes without a next step, failures to spread.
  ), to_settle AS (
    SELECT array_agg(execution_id) AS executions, array_agg(status) AS statuses,
      array_agg(id) FILTER (WHERE status = 'failed' AND dependents <> '{}') AS failed
    FROM ended WHERE execution_id NOT IN (SELECT id FROM counted)
  ), left_over AS (
    SELECT array_agg(execution_id) AS executions, array_agg(slot) AS slots FROM (
      SELECT execution_id, slot FROM ended WHERE slot IS NOT NULL EXCEPT ALL
      SELECT execution_id, slot FROM children WHERE continues
    ) lanes
  )
  SELECT (SELECT array_agg(id) FROM ended), (SELECT array_agg(id) FROM continued),
    to_settle.executions, to_settle.statuses, left_over.executions, left_over.slots, to_settle.failed
  INTO steps, claimed, executions, statuses, lane_executions, lane_slots, _failed FROM to_settle, left_over;

  -- 7. Skip what depends on a failed step, directly or not. This is a statement of its own because it must see the
  -- outcomes that section 1 has written.
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
-- Brings the rows of executions in line with their steps, and their messages with what is to be done next. The caller
-- has locked the executions. `_executions` and `_statuses` are pairs: one for each step that has ended, with its
-- status; a pair with NULL only asks for the execution to be settled.
-- `_consumed` are executions whose message was used by a claim. Such a message is never used again, because a stock
-- cluster deletes its message when its task ends. `_messages` has the payload of a new message by execution, for those
-- that have none to take it from.
-- Returns the kinds of slots whose workers should be woken.
CREATE OR REPLACE FUNCTION workflow_settle(
  _executions uuid[], _statuses text[], _consumed uuid[], _messages json, _actor text
) RETURNS text[]
LANGUAGE plpgsql SET jit = off AS $$
DECLARE
  _job record;
  _status text;
  _due timestamptz;
  _message_id bigint;
  _payload text;
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
    -- ANY, although the join implies it: without statistics the planner would read all executions instead.
    JOIN workflow_executions e
      ON e.id = given.execution AND e.id = ANY(_executions) AND e.finished_at IS NULL
    LEFT JOIN LATERAL (
      SELECT tool, CASE WHEN crashes < 2 THEN slot ELSE 'alone' END AS slot, ready_at FROM workflow_steps s
      WHERE s.execution_id = e.id AND s.status IN ('ready', 'waiting') AND s.ready_at IS NOT NULL
      ORDER BY s.ready_at, s.index LIMIT 1
    ) next ON true
  LOOP
    -- 1. The status that follows from the steps, and its audit event.
    _status := CASE
      WHEN _job.finished < _job.steps_total THEN CASE
        WHEN _job.running > 0 THEN 'running'
        WHEN _job.ready_at <= clock_timestamp() THEN CASE WHEN _job.started_at IS NULL THEN 'queued' ELSE 'running' END
        ELSE 'waiting' END
      WHEN _job.completed = _job.steps_total THEN 'completed'
      -- Without a failure, the steps that are not completed were cancelled before other steps were retried.
      WHEN _job.failed = 0 THEN 'cancelled'
      WHEN _job.tolerates_failures AND _job.completed > 0 THEN 'completed_with_errors'
      ELSE 'failed' END;
    IF _status <> _job.status
      AND (_status NOT IN ('queued', 'running') OR (_status = 'running' AND _job.status = 'queued')) THEN
      INSERT INTO audit_events (actor, action, object, execution_id, changes)
      VALUES (_actor, 'job.' || CASE _status WHEN 'running' THEN 'started' ELSE _status END,
        'job:' || _job.id, _job.id, jsonb_build_object(
          'status', _status, 'from', _job.status, 'jobType', _job.job_type));
    END IF;

    -- 2. The message: at most one for each execution, due when its next step is, while a lane is free.
    _due := CASE WHEN _job.running < _job.max_parallel THEN _job.ready_at END;
    _message_id := _job.message_id;
    _wake_at := _job.wake_at;
    _payload := NULL;
    IF _message_id IS NOT NULL AND (_due IS NULL OR _job.id = ANY(_consumed)) THEN
      DELETE FROM django_q_ormq WHERE id = _message_id RETURNING payload INTO _payload;
      _message_id := NULL;
      _wake_at := NULL;
    END IF;
    IF _message_id IS NULL AND _due IS NOT NULL THEN
      _payload := coalesce(_payload, _messages->>(_job.id::text));
      IF _payload IS NOT NULL THEN
        -- Work that is due goes to the end of its queue.
        _wake_at := greatest(_due, clock_timestamp());
        INSERT INTO django_q_ormq (key, payload, lock) VALUES ('jobs-' || _job.queue, _payload, _wake_at)
        RETURNING id INTO _message_id;
        _wake := _wake || _job.slot::text;
      END IF;
    ELSIF _due < coalesce(_wake_at, 'infinity') OR (_due IS NOT NULL AND _job.slot <> _job.next_slot) THEN
      -- Also if the next step needs another kind of slot: workers with that kind have not looked at this execution.
      _wake_at := greatest(_due, clock_timestamp());
      UPDATE django_q_ormq SET lock = _wake_at WHERE id = _message_id;
      _wake := _wake || _job.slot::text;
    END IF;

    -- 3. The execution's row.
    UPDATE workflow_executions SET
      status = _status, steps_completed = _job.completed, steps_failed = _job.failed, steps_finished = _job.finished,
      steps_running = _job.running, next_tool = _job.tool, next_slot = _job.slot,
      started_at = CASE WHEN _job.running > 0 THEN coalesce(started_at, clock_timestamp()) ELSE started_at END,
      finished_at = CASE WHEN _job.finished = steps_total THEN clock_timestamp() END,
      changed_at = clock_timestamp(), message_id = _message_id, wake_at = _wake_at
    WHERE id = _job.id;
  END LOOP;
  RETURN _wake;
END $$;
-- Stores a job, its steps, its message in django-q2's queue, and the audit event: see `engine.start`.
CREATE OR REPLACE FUNCTION workflow_start(_new jsonb, _steps jsonb, _message text, _actor text) RETURNS void
LANGUAGE plpgsql SET jit = off AS $$
DECLARE
  _execution uuid := _new->>'execution';
  _delay float8 := _new->>'delay';
  _due timestamptz := clock_timestamp() + _delay * interval '1 second';
  _message_id bigint;
BEGIN
  INSERT INTO django_q_ormq (key, payload, lock) VALUES ('jobs-' || (_new->>'queue'), _message, _due)
  RETURNING id INTO _message_id;
  INSERT INTO workflow_executions (
    id, owner_id, job_type, name, description, mode, model_id, project_id, tags, payload, queue, max_parallel,
    tolerates_failures, status, steps_total, steps_running, steps_completed, steps_failed, steps_finished,
    message_id, wake_at, next_tool, next_slot, workflow_id, workflow_name, workflow_version, traceparent)
  VALUES (
    _execution, (_new->>'owner')::int, _new->>'job_type', _new->>'name', _new->>'description', _new->>'mode',
    _new->>'model_id', _new->>'project_id', ARRAY(SELECT jsonb_array_elements_text(_new->'tags')), _new->'payload',
    _new->>'queue', (_new->>'max_parallel')::int, (_new->>'tolerates_failures')::bool,
    CASE WHEN _delay > 0 THEN 'waiting' ELSE 'queued' END, jsonb_array_length(_steps), 0, 0, 0, 0,
    _message_id, _due, _new->>'next_tool', _new->>'next_slot', (_new->>'workflow_id')::uuid, _new->>'workflow_name',
    (_new->>'workflow_version')::int, _new->>'traceparent');
  INSERT INTO workflow_steps (
    id, execution_id, index, name, description, tool, slot, arguments, depends_on, dependents, missing_dependencies,
    status, ready_at, attempt, attempts_before, round, repeats_attempt, max_attempts, timeout_seconds, crashes,
    progress, message, model)
  SELECT
    id, _execution, place - 1, name, description, tool, slot, arguments, depends_on, dependents,
    cardinality(depends_on), CASE WHEN depends_on = '{}' THEN 'ready' ELSE 'pending' END,
    CASE WHEN depends_on = '{}' THEN _due END, 0, 0, 1, false, max_attempts, timeout_seconds, 0, 0, '', ''
  FROM ROWS FROM (jsonb_to_recordset(_steps) AS (
    id uuid, name text, description text, tool text, slot text, arguments jsonb, depends_on int[], dependents int[],
    max_attempts int, timeout_seconds int)) WITH ORDINALITY AS given(
    id, name, description, tool, slot, arguments, depends_on, dependents, max_attempts, timeout_seconds, place);
  INSERT INTO audit_events (actor, action, object, execution_id, changes)
  VALUES (_actor, 'job.queued', 'job:' || _execution, _execution, jsonb_build_object(
    'status', 'queued', 'jobType', _new->'job_type', 'steps', jsonb_array_length(_steps)));
END $$;
-- A worker's turn: it records what ended, claims what comes next, and settles the executions, in one commit.
-- See `turn.take_turn` for the arguments. `_jobs` are the executions of the outcomes and of `_only`; `_demands` says
-- for each kind of slot how many steps the worker can take; `_only` limits the claims to one execution, or is NULL.
-- Returns JSON: the claims, the steps whose outcomes were refused, how many executions each demand found, the kinds of
-- slots to wake, and, if a demand found nothing, in how many seconds the next execution is due.
CREATE OR REPLACE FUNCTION workflow_turn(
  _worker uuid, _actor text, _lease float8, _tools text[], _jobs uuid[], _messages json, _outcomes json,
  _outputs text[], _demands json, _only uuid, _cooldowns json
) RETURNS json
LANGUAGE plpgsql SET jit = off
-- These repeat the settings of the workers' connections, which a pooler may not pass on: see
-- `workflows.database_connections`.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_sort = off SET enable_material = off AS $$
DECLARE
  _recorded record;
  _claimed uuid[] := '{}';
  _executions uuid[] := '{}';
  _statuses text[] := '{}';
  _lanes uuid[] := '{}';
  _slots text[] := '{}';
  _refused uuid[] := '{}';
  _demand record;
  _picked uuid[];
  _consumed uuid[] := '{}';
  _found int[] := '{}';
  _wake text[] := '{}';
  _finds_nothing bool := false;
  _all_paused bool;
  _paused_tools text[];
  _paused text[];
  _seconds float8;
BEGIN
  -- 1. What is paused is not claimed, but outcomes are recorded. `_paused` are projects.
  SELECT coalesce(bool_or(kind = 'all'), false), coalesce(array_agg(name::text) FILTER (WHERE kind = 'tool'), '{}'),
    coalesce(array_agg(name::text) FILTER (WHERE kind = 'project'), '{}')
  INTO _all_paused, _paused_tools, _paused FROM workflow_pauses;
  IF _all_paused THEN
    _tools := '{}';
  ELSIF _paused_tools <> '{}' THEN
    _tools := ARRAY(SELECT tool FROM unnest(_tools) AS tool WHERE tool <> ALL(_paused_tools));
  END IF;

  -- 2. Lock the executions, in the order of their ids, before any of their steps: see `engine`.
  IF _jobs <> '{}' THEN
    PERFORM FROM workflow_executions WHERE id = ANY(_jobs) ORDER BY id FOR UPDATE;
  END IF;

  -- 3. Record the outcomes. Lanes that go on claim their next step in the same statement. While a project is paused,
  -- they do so in section 5, which looks at the projects.
  IF _outputs <> '{}' THEN
    _recorded := workflow_record(
      _outcomes, _outputs, false, CASE WHEN _paused = '{}' THEN _tools ELSE '{}' END, _worker, _lease, _actor);
    _claimed := coalesce(_recorded.claimed, '{}');
    _executions := coalesce(_recorded.executions, '{}');
    _statuses := coalesce(_recorded.statuses, '{}');
    _lanes := coalesce(_recorded.lane_executions, '{}');
    _slots := coalesce(_recorded.lane_slots, '{}');
    -- An outcome that was not accepted was refused, or it was recorded before and the answer got lost: then the step
    -- still has the worker's own token.
    IF coalesce(cardinality(_recorded.steps), 0) < cardinality(_outputs) THEN
      WITH refused AS (
        SELECT * FROM json_to_recordset(_outcomes) AS given(
          execution uuid, step uuid, token uuid, status text, attempt int)
        WHERE step <> ALL(coalesce(_recorded.steps, '{}'))
          AND NOT EXISTS (SELECT FROM workflow_steps s WHERE s.id = given.step AND s.token = given.token)
      ), events AS (
        INSERT INTO audit_events (actor, action, object, execution_id, changes)
        SELECT _actor, 'step.result_refused', 'step:' || step, execution, jsonb_build_object(
          'offered', status, 'attempt', attempt, 'reason', 'lease lost')
        FROM refused
      )
      SELECT coalesce(array_agg(step), '{}') INTO _refused FROM refused;
    END IF;
  END IF;

  -- 4. Pick due executions for the free slots of each kind. Picking locks with SKIP LOCKED, so this second round of
  -- locks cannot wait and cannot deadlock.
  FOR _demand IN SELECT * FROM json_to_recordset(_demands) AS (
    slot text, free int, newcomers int, since float8)
  LOOP
    IF _only IS NOT NULL THEN
      _picked := array_fill(_only, ARRAY[least(_demand.free, 1)]);
      _found := _found || 0;
    ELSIF _demand.free > 0 THEN
      _picked := workflow_pick(_demand.slot, _tools, _paused, _demand.free, _demand.since);
      _found := _found || cardinality(_picked);
      _finds_nothing := _finds_nothing OR _picked = '{}';
    ELSE
      _picked := workflow_pick_newcomers(_demand.slot, _tools, _paused, _demand.newcomers);
      _found := _found || cardinality(_picked);
    END IF;
    _lanes := _lanes || _picked;
    _slots := _slots || array_fill(_demand.slot, ARRAY[cardinality(_picked)]);
    _consumed := _consumed || _picked;
  END LOOP;

  -- 5. Claim steps: for what was picked, and for the lanes that go on without a step from section 3.
  IF _lanes <> '{}' THEN
    _claimed := _claimed || workflow_claim(_lanes, _slots, _tools, _paused, _worker, _lease, _actor);
  END IF;

  -- 6. Settle every execution that changed. After the claims, so that the counters include them.
  _executions := _executions || _lanes;
  IF _only IS NOT NULL THEN
    _executions := _executions || _only;
    _consumed := _consumed || _only;
  END IF;
  IF _executions <> '{}' THEN
    _wake := workflow_settle(
      _executions, _statuses || array_fill(NULL::text, ARRAY[cardinality(_executions) - cardinality(_statuses)]),
      _consumed, _messages, _actor);
  END IF;

  -- 7. Keep the cool-downs, in the order of their keys: two workers may store the same ones at once.
  IF _cooldowns IS NOT NULL THEN
    INSERT INTO workflow_cooldowns (key, until)
    SELECT key, clock_timestamp() + max(seconds) * interval '1 second'
    FROM json_to_recordset(_cooldowns) AS (key text, seconds float8) GROUP BY key ORDER BY key
    ON CONFLICT (key) DO UPDATE SET until = greatest(workflow_cooldowns.until, excluded.until);
  END IF;

  -- 8. A worker that found nothing sleeps until the next message is due.
  IF _finds_nothing THEN
    SELECT extract(epoch FROM min(first) - clock_timestamp()) INTO _seconds
    FROM (VALUES ('jobs-high'), ('jobs-normal'), ('jobs-low')) AS queue(key) CROSS JOIN LATERAL (
      SELECT lock AS first FROM django_q_ormq o WHERE o.key = queue.key AND lock > statement_timestamp()
      ORDER BY lock LIMIT 1) AS next;
  END IF;
  RETURN json_build_object(
    'claims', CASE WHEN _claimed = '{}' THEN '{}' ELSE coalesce(workflow_claim_details(_claimed), '{}') END,
    'refused', _refused, 'found', _found, 'next_due', _seconds, 'wake', array_remove(_wake, NULL));
END $$;
