-- Picks executions whose message is due, and locks them: in the order of the queues and, within one, first lanes before
-- further lanes, then of the messages. What another worker has locked is its turn: skip it. Messages that have been due
-- for longer than `_since` seconds are left alone: see `slots`.
CREATE FUNCTION workflow_pick_2(_slot text, _tools text[], _limit int, _since float8) RETURNS uuid[]
LANGUAGE sql AS $$
  SELECT ARRAY(
    SELECT id FROM workflow_executions
    WHERE next_slot = _slot AND wake_at <= statement_timestamp() AND message_id IS NOT NULL AND next_tool = ANY(_tools)
      AND wake_at > coalesce(statement_timestamp() - _since * interval '1 second', '-infinity')
    ORDER BY CASE WHEN queue = 'high' THEN 0 WHEN queue = 'normal' THEN 2 ELSE 4 END
      + CASE WHEN steps_running > 0 THEN 1 ELSE 0 END, wake_at LIMIT _limit FOR UPDATE SKIP LOCKED);
$$;

-- Picks an execution of each owner who has nothing running, of those who wait longest. The owners with messages are few,
-- and are found by skipping through an index; the messages of one of them may be many.
CREATE FUNCTION workflow_newcomers_2(_slot text, _tools text[], _limit int) RETURNS uuid[]
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
        AND message_id IS NOT NULL AND next_tool = ANY(_tools)
      ORDER BY wake_at LIMIT 1);
  END LOOP;
  RETURN ARRAY(
    SELECT id FROM workflow_executions
    WHERE id = ANY(_firsts) AND next_slot = _slot AND message_id IS NOT NULL AND wake_at <= statement_timestamp()
    ORDER BY wake_at LIMIT _limit FOR UPDATE SKIP LOCKED);
END $$;

-- A worker's turn. `_jobs` are the executions that it names; `_tools` are the tools that it has; `_kinds` are its kinds
-- of slots and how many are free; `_only` is an execution whose message it was given, or NULL; `_cooldowns` is what
-- providers asked to be left alone, for how many seconds: see `turn.turn`.
-- Returns the claims, the steps whose outcomes were refused, how many messages each kind found, the kinds of slots to
-- notify, and, where a kind found nothing, the seconds until the next message is due.
CREATE FUNCTION workflow_turn_2(
  _worker uuid, _actor text, _lease float8, _tools text[], _jobs uuid[], _messages json, _outcomes json,
  _outputs text[], _kinds json, _only uuid, _cooldowns json
) RETURNS json
LANGUAGE plpgsql AS $$
DECLARE
  _recorded record;
  _claims json[] := '{}';
  _executions uuid[] := '{}';
  _statuses text[] := '{}';
  _lanes uuid[] := '{}';
  _slots text[] := '{}';
  _refused uuid[] := '{}';
  _kind record;
  _picked uuid[];
  _consumed uuid[] := '{}';
  _found int[] := '{}';
  _wake text[] := '{}';
  _finds_nothing bool := false;
  _seconds float8;
BEGIN
  IF EXISTS (SELECT FROM workflow_pauses) THEN
    _tools := '{}';
  END IF;
  IF _jobs <> '{}' THEN
    PERFORM FROM workflow_executions WHERE id = ANY(_jobs) ORDER BY id FOR UPDATE;
  END IF;

  IF _outputs <> '{}' THEN
    _recorded := workflow_record_2(_outcomes, _outputs, false, _tools, _worker, _lease, _actor);
    _claims := coalesce(_recorded.claims, '{}');
    _executions := coalesce(_recorded.executions, '{}');
    _statuses := coalesce(_recorded.statuses, '{}');
    _lanes := coalesce(_recorded.lane_executions, '{}');
    _slots := coalesce(_recorded.lane_slots, '{}');
    IF coalesce(cardinality(_recorded.steps), 0) < cardinality(_outputs) THEN
      -- The holder's own token means: it was recorded before, and the answer got lost.
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

  FOR _kind IN SELECT * FROM json_to_recordset(_kinds) AS (
    slot text, free int, newcomers int, since float8)
  LOOP
    IF _only IS NOT NULL THEN
      _picked := array_fill(_only, ARRAY[least(_kind.free, 1)]);
      _found := _found || 0;
    ELSIF _kind.free > 0 THEN
      _picked := workflow_pick_2(_kind.slot, _tools, _kind.free, _kind.since);
      _found := _found || cardinality(_picked);
      _finds_nothing := _finds_nothing OR _picked = '{}';
    ELSE
      _picked := workflow_newcomers_2(_kind.slot, _tools, _kind.newcomers);
      _found := _found || cardinality(_picked);
    END IF;
    _lanes := _lanes || _picked;
    _slots := _slots || array_fill(_kind.slot, ARRAY[cardinality(_picked)]);
    _consumed := _consumed || _picked;
  END LOOP;
  IF _lanes <> '{}' THEN
    _claims := _claims || workflow_claim_2(_lanes, _slots, _tools, _worker, _lease, _actor);
  END IF;
  _executions := _executions || _lanes;
  IF _only IS NOT NULL THEN
    _executions := _executions || _only;
    _consumed := _consumed || _only;
  END IF;
  IF _executions <> '{}' THEN
    _wake := workflow_settle_2(
      _executions, _statuses || array_fill(NULL::text, ARRAY[cardinality(_executions) - cardinality(_statuses)]),
      _consumed, _messages, _actor);
  END IF;

  -- In the order of the keys: two workers may hear of the same providers at once.
  IF _cooldowns IS NOT NULL THEN
    INSERT INTO workflow_cooldowns (key, until)
    SELECT key, clock_timestamp() + max(seconds) * interval '1 second'
    FROM json_to_recordset(_cooldowns) AS (key text, seconds float8) GROUP BY key ORDER BY key
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
