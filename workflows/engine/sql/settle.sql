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
