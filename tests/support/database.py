"""Clears the database around each transactional test.

Django's own flush truncates every table and creates content types and permissions again, which takes 0.2 s a test.
"""

import pgtrigger
from django.db import connection, transaction

KEPT = {"django_content_type", "auth_permission"}
SMALL_BYTES = 64 << 10
"""Deleted rows stay in a table of up to this size. The planner takes even an empty table to be larger."""


class Cleaner:
    """Empties the tables before a transactional test, and restores the rows of the migrations after it.

    Tests in a transaction rely on these rows, in whatever order the tests run.
    """

    def __init__(self) -> None:
        self._tables = sorted(set(connection.introspection.django_table_names(only_existing=True)) - KEPT)
        with connection.cursor() as cursor:
            cursor.execute("CREATE SCHEMA initial")
            self._initial = self._filled_tables()
            for table in self._initial:
                cursor.execute(f"CREATE TABLE initial.{table} AS TABLE {table}")

    def empty(self) -> None:
        """The order of the tables does not matter, because foreign keys are checked at the commit."""
        with pgtrigger.ignore(), transaction.atomic(), connection.cursor() as cursor:
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
