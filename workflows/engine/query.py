"""The engine's own SQL on Django's connection."""

from typing import Any

from django.db import connection

from aiworkstation.audit.origin import stamped

Row = tuple[Any, ...]


def rows_of(statement: str, **parameters: Any) -> list[Row]:
    """Executes a statement with named parameters. Returns its rows, or an empty list if it has none.

    A parameter `actor` is for audit events: it carries the channel and the address.
    """
    if "actor" in parameters:
        parameters["actor"] = stamped(parameters["actor"])
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if cursor.description else []
