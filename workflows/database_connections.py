"""Database connections of the workers, beside those of Django."""

from typing import Any, Literal

import psycopg
from django import db
from django.conf import settings
from psycopg import AsyncConnection, Connection

from aiworkstation.ops import session_settings

Purpose = Literal["engine", "listen"]

LOST = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    db.OperationalError,
    db.InterfaceError,
    db.InternalError,  # Django's name for IdleInTransactionSessionTimeout
)
"""Errors of a lost connection, a worker's or Django's: reconnect and try again."""
RECONNECT_SECONDS = 0.5

REJECTED = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
    psycopg.errors.InternalError_,
)
"""Errors that the same values will cause again: too long, too deep, out of range, against a constraint.

Errors of a missing migration or of a server in recovery are not among them: those pass only after an operator acts.
"""

# Statements are prepared once, perhaps while the tables are small, and PostgreSQL keeps the plan. It must be the plan
# for large tables, which reads indexes in their order, row by row. The settings make plans look expensive, and
# PostgreSQL would compile such plans (jit), which takes forty times as long as running them.
_OFF = ("seqscan", "bitmapscan", "hashjoin", "mergejoin", "sort", "material")
_PLANS = {**{f"enable_{way}": "off" for way in _OFF}, "plan_cache_mode": "force_generic_plan", "jit": "off"}
# A transaction on these connections never waits for anything but the database. An idle one belongs to a frozen process,
# and others wait for its locks.
_LIMITS = {"lock_timeout": "10s", "idle_in_transaction_session_timeout": "5s"}


def _parameters(purpose: Purpose, name: str) -> dict[str, Any]:
    """Takes Django's parameters, so that tests reach their own database. LISTEN may need a direct address."""
    parameters: dict[str, Any] = dict(db.connection.get_connection_params())
    for django_only in ("cursor_factory", "context"):
        parameters.pop(django_only, None)
    direct = settings.CONFIG.listen_database_url
    if purpose == "listen" and direct:
        parameters = {**settings.TCP_PATIENCE, **psycopg.conninfo.conninfo_to_dict(direct)}
    return {
        **parameters,
        "application_name": name,
        "autocommit": True,
        "connect_timeout": 5,
    }


def _prepares(purpose: Purpose) -> bool:
    """Whether statements may be prepared. Behind pgbouncer they may not, because transactions change servers there.

    LISTEN_DATABASE_URL shows that DATABASE_URL leads to pgbouncer.
    """
    return purpose == "listen" or not settings.CONFIG.listen_database_url


def _settings(purpose: Purpose) -> str:
    """Returns the statement that makes the session's settings. `workflow_turn` has its own, in sql/."""
    return session_settings.statement({**_LIMITS, **_PLANS}, is_shared=not _prepares(purpose))


async def connect(purpose: Purpose, name: str) -> AsyncConnection[tuple[Any, ...]]:
    """Opens a connection for the event loop. `name` becomes its `application_name`, shown in `pg_stat_activity`."""
    opened = await AsyncConnection.connect(**_parameters(purpose, name))
    await opened.execute(_settings(purpose))
    opened.prepare_threshold = 1 if _prepares(purpose) else None
    return opened


def connect_blocking(name: str, purpose: Purpose = "engine") -> Connection[tuple[Any, ...]]:
    """Opens a connection for a thread without an event loop, such as the lease renewer."""
    opened = Connection.connect(**_parameters(purpose, name))
    opened.execute(_settings(purpose))
    opened.prepare_threshold = 1 if _prepares(purpose) else None
    return opened
