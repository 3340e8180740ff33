-- Picks one execution of each owner who has nothing running, those that have waited longest first, and locks them. Few
-- owners have due executions at once, so the loop skips from owner to owner through an index, however many executions
-- each of them has.
CREATE OR REPLACE FUNCTION workflow_pick_newcomers(
  _slot text, _tools text[], _paused text[], _limit int
) RETURNS uuid[]
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
        AND message_id IS NOT NULL AND next_tool = ANY(_tools) AND project_id <> ALL(_paused)
      ORDER BY wake_at LIMIT 1);
  END LOOP;
  RETURN ARRAY(
    SELECT id FROM workflow_executions
    WHERE id = ANY(_firsts) AND next_slot = _slot AND message_id IS NOT NULL AND wake_at <= statement_timestamp()
    ORDER BY wake_at LIMIT _limit FOR UPDATE SKIP LOCKED);
END $$;
