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
