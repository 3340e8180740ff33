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
