"""Gives the tables of the audit trail to a role that the application is not.

The triggers refuse changes, but the owner of a table can drop them. So the tables, their functions and the schema
belong to the role `settings.AUDIT_OWNER`, which nobody logs in as. The application's role may insert and read, and
cannot become that role. `manage.py migrate` logs in with a third role, which may act as both
(`settings.MIGRATION_DATABASE`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import Error, connection, transaction
from psycopg import sql

_IS_CREATED = "SELECT to_regclass('audit_events') IS NOT NULL"
_SCHEMA = "SELECT relnamespace::regnamespace::text, current_user FROM pg_class WHERE oid = 'audit_events'::regclass"
# A superuser counts as a member of every role.
_POWERS = """
WITH tables AS (SELECT * FROM pg_class WHERE oid IN ('audit_events'::regclass, 'audit_seals'::regclass)),
owners (what, role) AS (
  SELECT 'owns the table ' || relname, relowner FROM tables
  UNION ALL SELECT 'owns the schema ' || nspname, nspowner
    FROM pg_namespace WHERE oid IN (SELECT relnamespace FROM tables)
  UNION ALL SELECT 'owns the function ' || proname, proowner FROM pg_proc
    WHERE proname LIKE 'audit\\_%' AND pronamespace IN (SELECT relnamespace FROM tables)
)
SELECT what FROM owners WHERE pg_has_role(current_user, role, 'MEMBER')
UNION ALL SELECT 'may change ' || relname FROM tables
  WHERE has_table_privilege(current_user, oid, 'DELETE, TRUNCATE, TRIGGER')
    OR has_any_column_privilege(current_user, oid, 'UPDATE')
UNION ALL SELECT 'may change audit_events_id_seq'
  WHERE has_sequence_privilege(current_user, 'audit_events_id_seq', 'UPDATE')
UNION ALL SELECT 'may make itself a member of other roles' FROM pg_roles
  WHERE rolname = current_user AND rolcreaterole AND current_setting('server_version_num')::int < 160000
ORDER BY 1 DESC LIMIT 1
"""
_PROTECT = """\
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {owner_name}) THEN
    CREATE ROLE {owner} NOLOGIN;
  END IF;
END $$;
-- The owner of a schema may drop the tables in it.
ALTER SCHEMA {schema} OWNER TO {owner};
GRANT USAGE, CREATE ON SCHEMA {schema} TO {application};
ALTER TABLE {schema}.audit_events OWNER TO {owner};
ALTER TABLE {schema}.audit_seals OWNER TO {owner};
ALTER FUNCTION {schema}.audit_stamp OWNER TO {owner};
ALTER FUNCTION {schema}.audit_stamp_seal OWNER TO {owner};
ALTER FUNCTION {schema}.audit_refuse OWNER TO {owner};
ALTER FUNCTION {schema}.audit_event_digest OWNER TO {owner};
ALTER FUNCTION {schema}.audit_seal_digest OWNER TO {owner};
REVOKE ALL ON {schema}.audit_events, {schema}.audit_seals FROM PUBLIC, {application};
REVOKE ALL ON SEQUENCE {schema}.audit_events_id_seq FROM PUBLIC, {application};
GRANT SELECT, INSERT ON {schema}.audit_events, {schema}.audit_seals TO {application};
GRANT SELECT, USAGE ON SEQUENCE {schema}.audit_events_id_seq TO {application};
"""


def weakness() -> str:
    """Returns what the application's role could do to the audit trail, such as `owns the table audit_events`.

    Empty if it can only insert and read, or if there are no tables yet.
    """
    if not are_created():
        return ""
    return next((str(what) for (what,) in _rows(_POWERS)), "")


def are_created() -> bool:
    ((is_created,),) = _rows(_IS_CREATED)
    return bool(is_created)


def statements() -> str:
    """Returns the SQL that protects the tables from the application's role, for an administrator to run."""
    ((schema, application),) = _rows(_SCHEMA)
    owner = settings.AUDIT_OWNER
    filled = sql.SQL(_PROTECT).format(
        schema=sql.Identifier(schema),
        application=sql.Identifier(application),
        owner=sql.Identifier(owner),
        owner_name=sql.Literal(owner),
    )
    return filled.as_string()


def protect() -> str:
    """Protects the tables if they are not. Returns a warning if the role that logged in cannot do this."""
    if not weakness():
        return ""
    try:
        _run(statements())
    except Error as error:
        return warning(f"PostgreSQL says: {str(error).splitlines()[0]}")
    return warning()


def warning(reason: str = "") -> str:
    """Returns a sentence about the weakness and its remedy. Empty if there is no weakness."""
    if not (found := weakness()):
        return ""
    return (
        f"The application's role {found}, so it could rewrite the audit trail. Let an administrator of the database run"
        f" what `manage.py protect_audit --print` prints, or set MIGRATE_DATABASE_URL. {reason}".rstrip()
    )


@transaction.atomic
def _run(protecting: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE NONE")  # back to the role that logged in
        cursor.execute(protecting)


@contextmanager
def logged_in_to_migrate() -> Iterator[None]:
    """Logs in with the role for migrations, and acts as the application's role, so that new tables belong to it.

    `SET LOCAL ROLE NONE` in a migration of the audit trail gives that migration the rights of the role that logged in.
    """
    own = dict(connection.settings_dict)
    changes: dict[str, Any] = settings.MIGRATION_DATABASE()
    if not changes:
        yield
        return
    ((application,),) = _rows("SELECT current_user")
    connection.close()
    connection.settings_dict.update(changes)
    connection.settings_dict["SESSION"] = {**connection.settings_dict["SESSION"], "role": application}
    try:
        _log_in(application)
        yield
    finally:
        connection.close()
        connection.settings_dict.update(own)


def _log_in(application: str) -> None:
    try:
        connection.ensure_connection()
    except Error as error:
        raise CommandError(
            f"MIGRATE_DATABASE_URL: cannot log in and act as the role {application}. The role that logs in must be a"
            f" member of that role. PostgreSQL says: {str(error).splitlines()[-1]}"
        ) from None


def _rows(statement: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())
