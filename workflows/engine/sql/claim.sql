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
