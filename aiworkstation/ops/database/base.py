"""The ENGINE of DATABASES: Django's own backend, whose sessions keep their settings behind every pooler."""

from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base
from psycopg import Connection

from aiworkstation.ops import session_settings


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection[Any]:
        opened: Connection[Any] = super().get_new_connection(conn_params)
        opened.autocommit = True  # Django sets it next, to the same
        is_shared = bool(settings.CONFIG.listen_database_url)
        opened.execute(session_settings.statement(self.settings_dict["SESSION"], is_shared=is_shared))
        return opened
