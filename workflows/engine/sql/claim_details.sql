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
