-- What happens to steps and executions, as functions of the database: a worker's whole turn is one statement, so one
-- round trip and one commit; each row is touched by its key, and plans are kept on every connection. `engine` has the
-- rules and the order of locks: whoever calls these has locked the executions, but `workflow_turn`, which locks them
-- itself, and `workflow_start`, which makes one.
--
-- The names end in a number because workers of two releases run side by side during a deployment: whoever changes
-- something here copies it to the next number in a migration, and drops this one a release later.

-- Stores a job, its steps, and the message that wakes a worker up: see `engine.starting`.
CREATE FUNCTION workflow_start_1(_new jsonb, _steps jsonb, _message text, _actor text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  _execution uuid := _new->>'execution';
  _delay float8 := _new->>'delay';
  _due timestamptz := clock_timestamp() + _delay * interval '1 second';
  _id bigint;
BEGIN
  INSERT INTO django_q_ormq (key, payload, lock) VALUES (_new->>'queue', _message, _due) RETURNING id INTO _id;
  INSERT INTO workflow_executions (
    id, owner_id, job_type, name, description, mode, model_id, project_id, tags, payload, queue, max_parallel,
    tolerates_failures, status, steps_total, steps_running, steps_completed, steps_failed, steps_finished,
    message_id, wake_at, next_tool, next_slot)
  VALUES (
    _execution, (_new->>'owner')::int, _new->>'job_type', _new->>'name', _new->>'description', _new->>'mode',
    _new->>'model_id', _new->>'project_id', ARRAY(SELECT jsonb_array_elements_text(_new->'tags')), _new->'payload',
    _new->>'queue', (_new->>'max_parallel')::int, (_new->>'tolerates_failures')::bool,
    CASE WHEN _delay > 0 THEN 'waiting' ELSE 'queued' END, jsonb_array_length(_steps), 0, 0, 0, 0,
    _id, _due, _new->>'next_tool', _new->>'next_slot');
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

-- How a run of a step ended, under the execution's lock. `_given` is an `Outcome`: see `turn.described`.
-- Returns how many steps of the execution are completed, failed and finished by that (those skipped behind a failure
-- are finished, too); NULL where the outcome was refused.
CREATE FUNCTION workflow_record_1(_given jsonb, _output text, _is_answer bool, _actor text) RETURNS int[]
LANGUAGE plpgsql AS $$
DECLARE
  _new record;
  _step record;
  _skipped int := 0;
  _now timestamptz := clock_timestamp();
BEGIN
  SELECT * INTO _new FROM jsonb_to_record(_given) AS (
    step uuid, token uuid, status text, action text, delay float8, repeats bool, crashes int, waits bool, error text,
    model text, usage text, silence float8);
  UPDATE workflow_steps s SET
    status = _new.status,
    ready_at = _now + _new.delay * interval '1 second',
    repeats_attempt = _new.repeats,
    crashes = s.crashes + _new.crashes,
    waiting_since = CASE WHEN _new.waits THEN coalesce(s.waiting_since, _now) END,
    lane = NULL, lease_until = NULL,
    silence_seconds = _new.silence,
    -- A step that waits outside does so no longer than its own limit.
    answer_by = CASE WHEN _new.silence IS NOT NULL THEN least(
      _now + _new.silence * interval '1 second', s.started_at + s.timeout_seconds * interval '1 second') END,
    output = _output::jsonb, error = _new.error::jsonb,
    model = coalesce(_new.model, s.model), usage = coalesce(_new.usage::jsonb, s.usage),
    progress = CASE WHEN _new.status = 'completed' THEN 100 ELSE s.progress END,
    finished_at = CASE WHEN _new.status IN ('completed', 'failed') THEN _now END
  WHERE s.id = _new.step AND CASE
    -- An attempt that an outside worker may answer: it is being posted, it was, or it goes on under the same number
    -- after a crash, a stop or a busy answer.
    WHEN _is_answer THEN s.status = 'running' OR s.answer_by IS NOT NULL
      OR (s.status IN ('ready', 'waiting') AND s.repeats_attempt)
    -- An outcome counts only from the holder of the token.
    ELSE s.status = 'running' AND s.token = _new.token END
  RETURNING s.execution_id, s.name, s.attempt, s.dependents INTO _step;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  INSERT INTO audit_events (actor, action, object, execution_id, changes)
  VALUES (_actor, _new.action, 'step:' || _new.step, _step.execution_id, jsonb_strip_nulls(jsonb_build_object(
    'status', _new.status, 'attempt', _step.attempt, 'error', _new.error::jsonb,
    'delaySeconds', nullif(_new.delay, 0), 'silenceSeconds', _new.silence)));

  IF _new.status = 'completed' AND _step.dependents <> '{}' THEN
    UPDATE workflow_steps SET
      missing_dependencies = missing_dependencies - 1,
      status = CASE WHEN missing_dependencies = 1 THEN 'ready' ELSE status END,
      ready_at = CASE WHEN missing_dependencies = 1 THEN _now END
    WHERE execution_id = _step.execution_id AND index = ANY(_step.dependents) AND status = 'pending';
  ELSIF _new.status = 'failed' AND _step.dependents <> '{}' THEN
    WITH RECURSIVE behind AS (
      SELECT unnest(_step.dependents) AS child
      UNION
      SELECT unnest(s.dependents) FROM behind
      JOIN workflow_steps s ON s.execution_id = _step.execution_id AND s.index = behind.child
    ), skipped AS (
      UPDATE workflow_steps s SET status = 'skipped', finished_at = _now, error = jsonb_build_object(
        'code', 'skipped', 'message', 'not run, because "' || _step.name || '" failed', 'retryable', false)
      FROM behind WHERE s.execution_id = _step.execution_id AND s.index = behind.child AND s.status = 'pending'
      RETURNING s.id
    ), events AS (
      INSERT INTO audit_events (actor, action, object, execution_id, changes)
      SELECT _actor, 'step.skipped', 'step:' || id, _step.execution_id, '{"status": "skipped"}' FROM skipped
    )
    SELECT count(*) INTO _skipped FROM skipped;
  END IF;
  RETURN ARRAY[
    (_new.status = 'completed')::int,
    (_new.status = 'failed')::int,
    (_new.status IN ('completed', 'failed'))::int + _skipped];
END $$;

-- Claims up to `_count` due steps, each on a lane of its own: the unique index on running lanes keeps `max_parallel`
-- whatever else happens. A row is a `Claim`.
CREATE FUNCTION workflow_claim_1(
  _execution uuid, _tools text[], _count int, _worker uuid, _lease float8, _actor text
) RETURNS SETOF json
LANGUAGE plpgsql AS $$
DECLARE
  _place record;
  _step workflow_steps;
  _now timestamptz := clock_timestamp();
BEGIN
  FOR _number IN 1 .. _count LOOP
    SELECT e.owner_id, u.username, e.name, e.description, e.mode, e.model_id, e.project_id, e.tags, step.id, (
      SELECT min(free) FROM generate_series(1, e.max_parallel) AS free WHERE NOT EXISTS (
        SELECT FROM workflow_steps WHERE execution_id = _execution AND status = 'running' AND lane = free)) AS lane
    INTO _place FROM workflow_executions e JOIN auth_user u ON u.id = e.owner_id CROSS JOIN LATERAL (
      SELECT id FROM workflow_steps
      WHERE execution_id = _execution AND status IN ('ready', 'waiting') AND ready_at <= _now AND tool = ANY(_tools)
      ORDER BY ready_at, index LIMIT 1
    ) step
    WHERE e.id = _execution AND e.status IN ('queued', 'running', 'waiting')
      AND NOT EXISTS (SELECT FROM workflow_pauses);
    EXIT WHEN _place.lane IS NULL;
    UPDATE workflow_steps SET
      status = 'running', token = gen_random_uuid(), lane = _place.lane, worker = _worker,
      lease_until = clock_timestamp() + _lease * interval '1 second',
      attempt = attempt + CASE WHEN repeats_attempt THEN 0 ELSE 1 END, repeats_attempt = false,
      started_at = clock_timestamp(), finished_at = NULL, ready_at = NULL, progress = 0, message = '', error = NULL
    WHERE id = _place.id RETURNING * INTO _step;
    INSERT INTO audit_events (actor, action, object, execution_id, changes)
    VALUES (_actor, 'step.started', 'step:' || _step.id, _execution,
      jsonb_build_object('status', 'running', 'attempt', _step.attempt));
    RETURN NEXT json_build_array(
      _step.id, _step.token, _execution, _step.index, _step.name, _step.description, _step.tool, _step.arguments,
      _step.depends_on, _step.attempt, _step.attempts_before, _step.max_attempts, _step.timeout_seconds, _step.round,
      _step.crashes, extract(epoch FROM clock_timestamp() - _step.waiting_since), _place.owner_id, _place.username,
      _place.name, _place.description, _place.mode, _place.model_id, _place.project_id, _place.tags);
  END LOOP;
END $$;

-- Brings an execution's row in line with its steps, and its message with what is to be done next: at most one, due
-- when its next step is, while a lane is free. `_ended` is what `workflow_record` returned, added up.
-- A message that was `_is_consumed` by a claim is never used again: a stock cluster deletes it when its task ends.
-- `_message` is the text of a new one, where there is none whose text could be taken.
-- Returns the kind of slot that somebody should look for work for, or NULL.
CREATE FUNCTION workflow_settle_1(
  _execution uuid, _ended int[], _is_consumed bool, _message text, _actor text
) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  _job record;
  _due timestamptz;
  _id bigint;
  _wake timestamptz;
  _news text;
  _status text;
BEGIN
  SELECT e.status, e.job_type, e.queue, e.message_id, e.wake_at, e.max_parallel, e.started_at, e.tolerates_failures,
    e.steps_total, e.steps_completed + _ended[1] AS completed, e.steps_failed + _ended[2] AS failed,
    e.steps_finished + _ended[3] AS finished, next.tool, next.slot, next.ready_at,
    (SELECT count(*) FROM workflow_steps WHERE execution_id = _execution AND status = 'running') AS running
  INTO _job FROM workflow_executions e LEFT JOIN LATERAL (
    SELECT tool, slot, ready_at FROM workflow_steps
    WHERE execution_id = _execution AND status IN ('ready', 'waiting') AND ready_at IS NOT NULL
    ORDER BY ready_at, index LIMIT 1
  ) next ON true
  WHERE e.id = _execution AND e.status IN ('queued', 'running', 'waiting');
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;

  _due := CASE WHEN _job.running < _job.max_parallel THEN _job.ready_at END;
  _id := _job.message_id;
  _wake := _job.wake_at;
  IF _id IS NOT NULL AND (_due IS NULL OR _is_consumed) THEN
    DELETE FROM django_q_ormq WHERE id = _id RETURNING payload INTO _news;
    _message := coalesce(_news, _message);
    _news := NULL;
    _id := NULL;
    _wake := NULL;
  END IF;
  IF _id IS NULL AND _due IS NOT NULL AND _message IS NOT NULL THEN
    -- Due work goes to the end of its queue.
    _wake := greatest(_due, clock_timestamp());
    INSERT INTO django_q_ormq (key, payload, lock) VALUES (_job.queue, _message, _wake) RETURNING id INTO _id;
    _news := _job.slot;
  ELSIF _id IS NOT NULL AND _due < coalesce(_wake, 'infinity') THEN
    _wake := _due;
    UPDATE django_q_ormq SET lock = _wake WHERE id = _id;
    _news := _job.slot;
  END IF;

  _status := CASE
    WHEN _job.finished < _job.steps_total THEN CASE
      WHEN _job.running > 0 THEN 'running'
      WHEN _job.ready_at <= clock_timestamp() THEN CASE WHEN _job.started_at IS NULL THEN 'queued' ELSE 'running' END
      ELSE 'waiting' END
    WHEN _job.completed = _job.steps_total THEN 'completed'
    WHEN _job.tolerates_failures AND _job.completed > 0 THEN 'completed_with_errors'
    ELSE 'failed' END;
  UPDATE workflow_executions SET
    status = _status, steps_completed = _job.completed, steps_failed = _job.failed, steps_finished = _job.finished,
    steps_running = _job.running, next_tool = _job.tool, next_slot = _job.slot, message_id = _id, wake_at = _wake,
    started_at = CASE WHEN _job.running > 0 THEN coalesce(started_at, clock_timestamp()) ELSE started_at END,
    finished_at = CASE WHEN _job.finished = _job.steps_total THEN clock_timestamp() END,
    changed_at = clock_timestamp()
  WHERE id = _execution;

  IF _status <> _job.status
    AND (_status NOT IN ('queued', 'running') OR (_status = 'running' AND _job.status = 'queued')) THEN
    INSERT INTO audit_events (actor, action, object, execution_id, changes)
    VALUES (_actor, 'job.' || CASE _status WHEN 'running' THEN 'started' ELSE _status END, 'job:' || _execution,
      _execution, jsonb_build_object('status', _status, 'from', _job.status, 'jobType', _job.job_type));
  END IF;
  RETURN _news;
END $$;

-- Picks executions whose message is due, and locks them: in the order of the queues and, within one, of the messages,
-- first lanes before further lanes. What another worker has locked is its turn: skip it.
CREATE FUNCTION workflow_pick_1(_slot text, _tools text[], _limit int) RETURNS uuid[]
LANGUAGE plpgsql AS $$
DECLARE
  _queue text;
  _picked uuid[] := '{}';
BEGIN
  IF EXISTS (SELECT FROM workflow_pauses) THEN
    RETURN _picked;
  END IF;
  FOREACH _queue IN ARRAY ARRAY['high', 'normal', 'low'] LOOP
    _picked := _picked || ARRAY(
      SELECT id FROM workflow_executions
      WHERE queue = _queue AND next_slot = _slot AND steps_running = 0 AND wake_at <= statement_timestamp()
        AND message_id IS NOT NULL AND next_tool = ANY(_tools)
      ORDER BY wake_at LIMIT _limit - cardinality(_picked) FOR UPDATE SKIP LOCKED);
    _picked := _picked || ARRAY(
      SELECT id FROM workflow_executions
      WHERE queue = _queue AND next_slot = _slot AND steps_running > 0 AND wake_at <= statement_timestamp()
        AND message_id IS NOT NULL AND next_tool = ANY(_tools)
      ORDER BY wake_at LIMIT _limit - cardinality(_picked) FOR UPDATE SKIP LOCKED);
  END LOOP;
  RETURN _picked;
END $$;

-- Picks an execution of each owner who has nothing running. The owners with messages are few, and are found by skipping
-- through an index; the messages of one of them may be many.
CREATE FUNCTION workflow_newcomers_1(_slot text, _tools text[], _limit int) RETURNS uuid[]
LANGUAGE plpgsql AS $$
DECLARE
  _owner int;
  _picked uuid[] := '{}';
BEGIN
  IF EXISTS (SELECT FROM workflow_pauses) THEN
    RETURN _picked;
  END IF;
  LOOP
    SELECT owner_id INTO _owner FROM workflow_executions
    WHERE message_id IS NOT NULL AND next_slot = _slot AND owner_id > coalesce(_owner, 0) ORDER BY owner_id LIMIT 1;
    EXIT WHEN NOT FOUND OR cardinality(_picked) = _limit;
    CONTINUE WHEN EXISTS (SELECT FROM workflow_executions WHERE owner_id = _owner AND steps_running > 0);
    _picked := _picked || ARRAY(
      SELECT id FROM workflow_executions
      WHERE next_slot = _slot AND owner_id = _owner AND wake_at <= statement_timestamp()
        AND message_id IS NOT NULL AND next_tool = ANY(_tools)
      ORDER BY wake_at LIMIT 1 FOR UPDATE SKIP LOCKED);
  END LOOP;
  RETURN _picked;
END $$;

-- A worker's turn. `_jobs`, in the order of their ids, are the executions that it names, with how their steps ended and
-- how many lanes it has for them; `_kinds` are its kinds of slots, and how many are free; `_cooldowns` is what providers
-- asked to be left alone, for how many seconds: see `turn.turn`.
-- Returns the claims, the steps whose outcomes were refused, how many messages each kind found, the kinds of slots to
-- notify, and, where a kind found nothing, the seconds until the next message is due.
CREATE FUNCTION workflow_turn_1(
  _worker uuid, _actor text, _lease float8, _jobs jsonb, _outputs text[], _kinds jsonb, _cooldowns jsonb
) RETURNS json
LANGUAGE plpgsql AS $$
DECLARE
  _job jsonb;
  _outcomes jsonb;
  _given jsonb;
  _kind jsonb;
  _tools text[];
  _free int;
  _newcomers int;
  _execution uuid;
  _step uuid;
  _picked uuid[];
  _now int[];
  _ended int[];
  _claims json[] := '{}';
  _refused uuid[] := '{}';
  _wake text[] := '{}';
  _found int[] := '{}';
  _finds_nothing bool := false;
  _seconds float8;
BEGIN
  FOR _i IN 0 .. jsonb_array_length(_jobs) - 1 LOOP
    _job := _jobs->_i;
    _execution := _job->>'execution';
    _outcomes := _job->'outcomes';
    _ended := '{0, 0, 0}';
    PERFORM FROM workflow_executions WHERE id = _execution FOR UPDATE;
    FOR _k IN 0 .. jsonb_array_length(_outcomes) - 1 LOOP
      _given := _outcomes->_k;
      _now := workflow_record_1(_given, _outputs[(_given->>'place')::int], false, _actor);
      IF _now IS NOT NULL THEN
        _ended := ARRAY[_ended[1] + _now[1], _ended[2] + _now[2], _ended[3] + _now[3]];
        CONTINUE;
      END IF;
      -- The holder's own token means: it was recorded before, and the answer got lost.
      _step := _given->>'step';
      IF NOT EXISTS (SELECT FROM workflow_steps WHERE id = _step AND token = (_given->>'token')::uuid) THEN
        _refused := _refused || _step;
        INSERT INTO audit_events (actor, action, object, execution_id, changes)
        VALUES (_actor, 'step.result_refused', 'step:' || _step, _execution, jsonb_build_object(
          'offered', _given->'status', 'attempt', _given->'attempt', 'reason', 'lease lost'));
      END IF;
    END LOOP;
    FOR _k IN 0 .. jsonb_array_length(_job->'lanes') - 1 LOOP
      _given := _job->'lanes'->_k;
      _tools := ARRAY(SELECT jsonb_array_elements_text(_kinds->(_given->>'kind')::int->'tools'));
      _claims := _claims || ARRAY(
        SELECT workflow_claim_1(_execution, _tools, (_given->>'count')::int, _worker, _lease, _actor));
    END LOOP;
    _wake := _wake || workflow_settle_1(
      _execution, _ended, (_job->>'is_consumed')::bool, _job->>'message', _actor);
  END LOOP;

  FOR _i IN 0 .. jsonb_array_length(_kinds) - 1 LOOP
    _kind := _kinds->_i;
    _free := _kind->>'free';
    _newcomers := _kind->>'newcomers';
    _picked := '{}';
    IF _free > 0 OR _newcomers > 0 THEN
      _tools := ARRAY(SELECT jsonb_array_elements_text(_kind->'tools'));
      _picked := CASE
        WHEN _free > 0 THEN workflow_pick_1(_kind->>'slot', _tools, _free)
        ELSE workflow_newcomers_1(_kind->>'slot', _tools, _newcomers) END;
      _finds_nothing := _finds_nothing OR (_free > 0 AND _picked = '{}');
    END IF;
    _found := _found || cardinality(_picked);
    FOREACH _execution IN ARRAY _picked LOOP
      _claims := _claims || ARRAY(SELECT workflow_claim_1(_execution, _tools, 1, _worker, _lease, _actor));
      _wake := _wake || workflow_settle_1(_execution, '{0, 0, 0}', true, NULL, _actor);
    END LOOP;
  END LOOP;

  -- In the order of the keys: two workers may hear of the same providers at once.
  IF jsonb_array_length(_cooldowns) > 0 THEN
    INSERT INTO workflow_cooldowns (key, until)
    SELECT key, clock_timestamp() + max(seconds) * interval '1 second'
    FROM jsonb_to_recordset(_cooldowns) AS (key text, seconds float8) GROUP BY key ORDER BY key
    ON CONFLICT (key) DO UPDATE SET until = greatest(workflow_cooldowns.until, excluded.until);
  END IF;

  IF _finds_nothing THEN
    SELECT extract(epoch FROM min(first) - clock_timestamp()) INTO _seconds
    FROM (VALUES ('high'), ('normal'), ('low')) AS queue(key) CROSS JOIN LATERAL (
      SELECT lock AS first FROM django_q_ormq o WHERE o.key = queue.key AND lock > statement_timestamp()
      ORDER BY lock LIMIT 1) AS next;
  END IF;
  RETURN json_build_object('claims', _claims, 'refused', _refused, 'found', _found, 'next_due', _seconds,
    'wake', array_remove(_wake, NULL));
END $$;
