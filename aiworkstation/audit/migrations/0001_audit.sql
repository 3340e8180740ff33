-- The database sets the id and the time of an event: nobody can choose them. The engine's statements write actor, channel
-- and address into `actor`, with a separator between them: see audit/origin.py.
ALTER TABLE audit_events ALTER id DROP IDENTITY;
CREATE SEQUENCE audit_events_id_seq OWNED BY audit_events.id;

CREATE FUNCTION audit_stamp() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  _parts text[] := string_to_array(NEW.actor, E'\x1f');
BEGIN
  -- In this order: a reader that has seen a later id can wait for the transaction of an earlier one. See audit/chain.py.
  PERFORM pg_current_xact_id();
  NEW.id := nextval(format('%I.audit_events_id_seq', TG_TABLE_SCHEMA)::regclass);
  NEW.at := clock_timestamp();
  NEW.actor := left(_parts[1], 200);
  NEW.channel := coalesce(_parts[2], 'sql');
  NEW.address := coalesce(nullif(_parts[3], ''), host(inet_client_addr()), 'local');
  RETURN NEW;
END $$;
CREATE TRIGGER stamp BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION audit_stamp();

CREATE FUNCTION audit_stamp_seal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.at := clock_timestamp();
  RETURN NEW;
END $$;
CREATE TRIGGER stamp BEFORE INSERT ON audit_seals FOR EACH ROW EXECUTE FUNCTION audit_stamp_seal();

CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'Cannot update or delete rows of %: it is append-only', TG_TABLE_NAME
    USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_events FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_events FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_seals FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_seals FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

-- The hash of an event. Text of jsonb depends on no setting, and its strings are quoted, so no two events share it.
CREATE FUNCTION audit_event_digest(_event audit_events) RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT sha256(convert_to(jsonb_build_array(
    _event.id, (extract(epoch FROM _event.at) * 1000000)::bigint, _event.actor, _event.channel, _event.address,
    _event.action, _event.object, _event.execution_id, _event.changes)::text, 'UTF8'))
$$;

CREATE FUNCTION audit_seal_digest(
  _previous bytea, _number bigint, _first bigint, _last bigint, _ids bigint[], _digests bytea[]
) RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT sha256(coalesce(_previous, '') || convert_to(jsonb_build_array(_number, _first, _last, _ids)::text, 'UTF8')
    || coalesce((SELECT string_agg(digest, '' ORDER BY place)
                 FROM unnest(_digests) WITH ORDINALITY AS given(digest, place)), ''))
$$;
