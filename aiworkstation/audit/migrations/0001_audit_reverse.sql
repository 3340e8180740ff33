DROP FUNCTION audit_seal_digest(bytea, bigint, bigint, bigint, bigint[], bytea[]);
DROP FUNCTION audit_event_digest(audit_events);
DROP FUNCTION audit_refuse() CASCADE;
DROP FUNCTION audit_stamp_seal() CASCADE;
DROP FUNCTION audit_stamp() CASCADE;
