"""Databases for the tests: copies of one migrated template, cleared around each transactional test.

Migrating takes five seconds of a processor, a copy a fraction of one. Django's own flush truncates every table and
creates content types and permissions again, which takes 0.2 s a test.
"""

import hashlib
from pathlib import Path

from django.core.management import call_command
from django.db import connection, transaction

from aiworkstation import BASE_DIR
from tests.support import audit

KEPT = {"django_content_type", "auth_permission"}
SMALL_BYTES = 64 << 10
"""Deleted rows stay in a table of up to this size. The planner takes even an empty table to be larger."""

TEMPLATE = "tests_template_"


def migrated_template() -> str:
    """The name of a database with all migrations. The first process that needs it makes it, and the others wait."""
    template = TEMPLATE + _digest_of_migrations()
    name = connection.settings_dict["NAME"]
    with connection._nodb_cursor() as cursor:
        # Another process may take longer to migrate than a statement may wait for a lock.
        cursor.execute("SET lock_timeout = 0")
        cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", [TEMPLATE])
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{TEMPLATE}%"])
        known = {row[0] for row in cursor.fetchall()}
        if template not in known:
            for older in known:
                cursor.execute(f"DROP DATABASE {older}")
            cursor.execute(f"CREATE DATABASE {template}")
            connection.close()
            connection.settings_dict["NAME"] = template
            try:
                call_command("migrate", interactive=False, verbosity=0)
            except BaseException:
                connection.close()
                cursor.execute(f"DROP DATABASE {template}")
                raise
            finally:
                connection.close()
                connection.settings_dict["NAME"] = name
    return template


def _digest_of_migrations() -> str:
    files: list[Path] = sorted(BASE_DIR.glob("*/migrations/*")) + sorted(BASE_DIR.glob("*/*/migrations/*"))
    content = b"".join(path.read_bytes() for path in files if path.suffix in (".py", ".sql"))
    requirements = (BASE_DIR / "requirements.txt").read_bytes()
    return hashlib.sha256(content + requirements).hexdigest()[:12]


class Cleaner:
    """Empties the tables before a transactional test, and restores the rows of the migrations after it.

    Tests in a transaction rely on these rows, in whatever order the tests run.
    """

    def __init__(self) -> None:
        names = set(connection.introspection.django_table_names(only_existing=True))
        self._tables = sorted(names - KEPT - set(audit.TABLES))
        self._owner = audit.connect_as_owner()
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA initial")
            self._initial = self._filled_tables()
            for table in self._initial:
                cursor.execute(f"CREATE TABLE initial.{table} AS TABLE {table}")

    def empty(self) -> None:
        """The order of the tables does not matter, because foreign keys are checked at the commit."""
        # Before the transaction: what it has read would be locked for the owner.
        with self._owner.transaction():
            for table in audit.TABLES:
                audit.empty(self._owner, table, SMALL_BYTES)
        with transaction.atomic(), connection.cursor() as cursor:
            filled = self._filled_tables()
            if large := [table for table, size in filled.items() if size > SMALL_BYTES]:
                cursor.execute(f"TRUNCATE {', '.join(large)} CASCADE")
            for table in filled.keys() - set(large):
                cursor.execute(f"DELETE FROM {table}")

    def restore(self) -> None:
        self.empty()
        with transaction.atomic(), connection.cursor() as cursor:
            for table in self._initial:
                cursor.execute(f"INSERT INTO {table} TABLE initial.{table}")

    def end_other_sessions(self) -> None:
        """Threads that have ended leave their connections in reference cycles. No such database can be dropped."""
        self._owner.close()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = current_user"
            )

    def _filled_tables(self) -> dict[str, int]:
        """Maps the tables that have rows to their sizes in bytes."""
        sizes = " UNION ALL ".join(
            f"SELECT '{table}', pg_table_size('{table}') WHERE EXISTS (SELECT FROM {table})" for table in self._tables
        )
        with connection.cursor() as cursor:
            cursor.execute(sizes)
            return dict(cursor.fetchall())
