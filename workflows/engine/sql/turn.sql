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
