"""Sealing the audit trail in tests, and changing it as its owner can and the application cannot."""

import time
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection

from aiworkstation.audit.chain import Sealer, verify

TABLES = ("audit_events", "audit_seals")


def connect_as_owner() -> psycopg.Connection[tuple[Any, ...]]:
    """A connection with the rights of the tables' owner, to the database of this test."""
    changes = settings.MIGRATION_DATABASE()
    login = {"user": changes["USER"], "password": changes["PASSWORD"]} if changes else {}
    parameters = dict(connection.get_connection_params()) | login
    return psycopg.connect(
        **{name: parameters[name] for name in parameters if name not in ("cursor_factory", "context")}
    )


def empty(owner: psycopg.Connection[tuple[Any, ...]], table: str, small_bytes: int) -> None:
    """Empties a table as the cleaner empties the others: rows of small tables are deleted, larger ones truncated."""
    row = owner.execute(f"SELECT pg_table_size('{table}') WHERE EXISTS (SELECT FROM {table})".encode()).fetchone()
    if row is None:
        return
    emptying = f"DELETE FROM {table}" if row[0] <= small_bytes else f"TRUNCATE {table}"
    for statement in (
        f"ALTER TABLE {table} DISABLE TRIGGER USER",
        emptying,
        f"ALTER TABLE {table} ENABLE TRIGGER USER",
    ):
        owner.execute(statement.encode())


def behind_the_guard(*statements: str) -> None:
    """Executes statements without the triggers. Each must change something."""
    with connect_as_owner() as owner:
        for table in TABLES:
            owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
        for statement in statements:
            assert owner.execute(statement.encode()).rowcount != 0
        for table in TABLES:
            owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER".encode())


def seal_all() -> int:
    """Waits until everything is sealed: transactions in other databases of the server delay it."""
    sealer, sealed = Sealer(), 0
    deadline = time.monotonic() + 30
    while True:
        sealed += sealer.seal()
        if not verify().unsealed:
            return sealed
        assert time.monotonic() < deadline
        time.sleep(0.01)
