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

-- A worker's turn. `_jobs` are the executions that it names; `_only` is one whose message it was given, or NULL;
-- `_kinds` are its kinds of slots: their tools, how many are free, and the lanes that go on; `_cooldowns` is what
-- providers asked to be left alone, for how many seconds: see `turn.turn`.
-- Returns the claims, the steps whose outcomes were refused, how many messages each kind found, the kinds of slots to
-- notify, and, where a kind found nothing, the seconds until the next message is due.
CREATE FUNCTION workflow_turn_1(
  _worker uuid, _actor text, _lease float8, _jobs uuid[], _messages jsonb, _outcomes jsonb, _outputs text[],
  _kinds jsonb, _only uuid, _cooldowns jsonb
) RETURNS json
LANGUAGE plpgsql AS $$
DECLARE
  _recorded record;
  _executions uuid[] := '{}';
  _statuses text[] := '{}';
  _consumed uuid[] := '{}';
  _refused uuid[] := '{}';
  _kind jsonb;
  _tools text[];
  _free int;
  _newcomers int;
  _picked uuid[];
  _places uuid[];
  _counts int[];
  _claims json[] := '{}';
  _found int[] := '{}';
  _wake text[];
  _finds_nothing bool := false;
  _seconds float8;
BEGIN
  IF _jobs <> '{}' THEN
    PERFORM FROM workflow_executions WHERE id = ANY(_jobs) ORDER BY id FOR UPDATE;
  END IF;

  IF _outputs <> '{}' THEN
    _recorded := workflow_record_1(_outcomes, _outputs, false, _actor);
    _executions := coalesce(_recorded.executions, '{}');
    _statuses := coalesce(_recorded.statuses, '{}');
    IF coalesce(cardinality(_recorded.steps), 0) < cardinality(_outputs) THEN
      -- The holder's own token means: it was recorded before, and the answer got lost.
      WITH refused AS (
        SELECT * FROM jsonb_to_recordset(_outcomes) AS given(
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

  FOR _i IN 0 .. jsonb_array_length(_kinds) - 1 LOOP
    _kind := _kinds->_i;
    _free := _kind->>'free';
    _newcomers := _kind->>'newcomers';
    _tools := ARRAY(SELECT jsonb_array_elements_text(_kind->'tools'));
    _picked := CASE
      WHEN _free > 0 THEN workflow_pick_1(_kind->>'slot', _tools, _free)
      WHEN _newcomers > 0 THEN workflow_newcomers_1(_kind->>'slot', _tools, _newcomers)
      ELSE '{}' END;
    _found := _found || cardinality(_picked);
    _finds_nothing := _finds_nothing OR (_free > 0 AND _picked = '{}');
    SELECT array_agg(execution), array_agg(number) INTO _places, _counts FROM (
      SELECT execution, count(*) AS number FROM (
        SELECT value::uuid AS execution FROM jsonb_array_elements_text(_kind->'lanes') UNION ALL SELECT unnest(_picked)
      ) places GROUP BY execution) counted;
    IF _places IS NOT NULL THEN
      _claims := _claims || workflow_claim_1(_places, _counts, _tools, _worker, _lease, _actor);
      _executions := _executions || _places;
      _statuses := _statuses || array_fill(NULL::text, ARRAY[cardinality(_places)]);
      _consumed := _consumed || _picked;
    END IF;
  END LOOP;
  IF _only IS NOT NULL THEN
    _executions := _executions || _only;
    _statuses := _statuses || NULL::text;
    _consumed := _consumed || _only;
  END IF;
  _wake := workflow_settle_1(_executions, _statuses, _consumed, _messages, _actor);

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
