"""The runner's own connections, beside Django's."""

from typing import Any, Literal

import psycopg
from django.conf import settings
from django.db import connection
from psycopg import AsyncConnection, Connection

Purpose = Literal["engine", "listen"]

# The statements are prepared once and meet small tables first: the plan that is kept must be the one for large ones,
# which goes by the indexes, in their order, and row by row.
_OFF = ("seqscan", "bitmapscan", "hashjoin", "mergejoin", "sort", "material")
_PLANS = " ".join(f"-c enable_{way}=off" for way in _OFF) + " -c plan_cache_mode=force_generic_plan"
# A transaction of these connections waits for nothing but the database: one that idles belongs to a frozen process, for
# whose locks others wait.
_LIMITS = "-c lock_timeout=10s -c idle_in_transaction_session_timeout=5s"


def _parameters(purpose: Purpose, name: str) -> dict[str, Any]:
    """Django's own parameters, so that a test's database is met too; LISTEN may need a direct address."""
    parameters: dict[str, Any] = dict(connection.get_connection_params())
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
    """Behind pgbouncer, which a direct address beside it tells of, transactions change servers, and nothing is kept."""
    return purpose == "listen" or not settings.CONFIG.listen_database_url


async def connect(purpose: Purpose, name: str) -> AsyncConnection[tuple[Any, ...]]:
    parameters = _parameters(purpose, name)
    opened = await AsyncConnection.connect(**parameters)
    opened.prepare_threshold = 1 if _prepares(purpose) else None
    return opened


def connect_blocking(name: str, purpose: Purpose = "engine") -> Connection[tuple[Any, ...]]:
    """For threads without an event loop, such as the beat's."""
    opened = Connection.connect(**_parameters(purpose, name))
    opened.prepare_threshold = 1 if _prepares(purpose) else None
    return opened
