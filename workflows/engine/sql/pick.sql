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
