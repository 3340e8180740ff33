"""The settings of a database session, such as `jit = off`. Statements make them when a connection is opened.

libpq could send them in the startup parameter `options`. But pgbouncer refuses it, or silently drops it if it is one of
its `ignore_startup_parameters`.
"""

from collections.abc import Mapping

from psycopg.sql import quote


def statement(chosen: Mapping[str, str], *, is_shared: bool) -> str:
    """Returns the statements that make the settings, such as `{"jit": "off", "lock_timeout": "10s"}`.

    With `is_shared`, the pooler gives each transaction another session, so settings that are made here also reach other
    connections. Only `jit` is set then, because all of them want it off.
    """
    made = {"jit": chosen["jit"]} if is_shared else chosen
    return "; ".join(f"SET {name} = {quote(value)}" for name, value in made.items())
