"""The ENGINE of DATABASES: Django's own backend, whose sessions keep their settings behind every pooler."""

from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base
from psycopg import Connection, OperationalError

from aiworkstation.ops import session_settings


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection[Any]:
        try:
            opened: Connection[Any] = super().get_new_connection(conn_params)
        except OperationalError as error:
            if not session_settings.are_refused(error):
                raise
            opened = super().get_new_connection(session_settings.without(conn_params))
        opened.autocommit = True  # Django sets it next, to the same
        row = opened.execute(session_settings.ARE_MISSING).fetchone()
        if row and row[0]:
            is_shared = bool(settings.CONFIG.listen_database_url)
            opened.execute(session_settings.statement(conn_params.get("options", ""), is_shared=is_shared))
        return opened
