"""The workers' own connections, beside Django's."""

from typing import Any, Literal

import psycopg
from django import db
from django.conf import settings
from psycopg import AsyncConnection, Connection

Purpose = Literal["engine", "listen"]

LOST = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    db.OperationalError,
    db.InterfaceError,
)
"""Errors of a connection that is gone, ours or Django's: reconnect and try again."""
RECONNECT_SECONDS = 0.5

REJECTED = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
    psycopg.errors.InternalError_,
)
"""Errors that the same values will cause again: too long, too deep, out of range, against a constraint.

Not among them: what a missing migration or a server in recovery causes. That passes when somebody acts.
"""

# The statements are prepared once, on small tables. The plan that is kept must be the one for large tables: it goes by
# the indexes, in their order, row by row. Switching ways off makes plans look expensive, and PostgreSQL compiles such
# plans (jit), which takes forty times as long as to run them.
_OFF = ("seqscan", "bitmapscan", "hashjoin", "mergejoin", "sort", "material")
_PLANS = " ".join(f"-c enable_{way}=off" for way in _OFF) + " -c plan_cache_mode=force_generic_plan -c jit=off"
# A transaction of these connections waits for nothing but the database. One that idles belongs to a frozen process, and
# others wait for its locks.
_LIMITS = "-c lock_timeout=10s -c idle_in_transaction_session_timeout=5s"


def _parameters(purpose: Purpose, name: str) -> dict[str, Any]:
    """Django's own parameters, so that a test's database is met too. LISTEN may need a direct address."""
    parameters: dict[str, Any] = dict(db.connection.get_connection_params())
    for django_only in ("cursor_factory", "context"):
        parameters.pop(django_only, None)
    direct = settings.CONFIG.listen_database_url
    if purpose == "listen" and direct:
        parameters = {**settings.TCP_PATIENCE, **psycopg.conninfo.conninfo_to_dict(direct)}
    return {
        **parameters,
        "options": f"{_LIMITS} {_PLANS}",
        "application_name": name,
        "autocommit": True,
        "connect_timeout": 5,
    }


def _prepares(purpose: Purpose) -> bool:
    """False behind pgbouncer: transactions change servers there, and a prepared statement is not kept.

    A direct address beside DATABASE_URL shows that pgbouncer is in use.
    """
    return purpose == "listen" or not settings.CONFIG.listen_database_url


async def connect(purpose: Purpose, name: str) -> AsyncConnection[tuple[Any, ...]]:
    """A connection of the event loop. `name` is its `application_name`, as `pg_stat_activity` shows it."""
    opened = await AsyncConnection.connect(**_parameters(purpose, name))
    opened.prepare_threshold = 1 if _prepares(purpose) else None
    return opened


def connect_blocking(name: str, purpose: Purpose = "engine") -> Connection[tuple[Any, ...]]:
    """A connection for threads without an event loop, such as the lease renewer's."""
    opened = Connection.connect(**_parameters(purpose, name))
    opened.prepare_threshold = 1 if _prepares(purpose) else None
    return opened
