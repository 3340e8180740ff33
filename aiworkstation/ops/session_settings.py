"""The settings of a database session, such as `jit = off`, when a pooler does not pass them on.

libpq sends them in the startup parameter `options`. pgbouncer refuses this parameter, or silently drops it if it
is one of its `ignore_startup_parameters`. Then they are set by a statement, after the connection is opened.
"""

import re
from collections.abc import Mapping
from typing import Any

from psycopg.sql import quote

_SETTING = re.compile(r"-c\s*([\w.]+)=(\S+)")

ARE_MISSING = "SELECT current_setting('jit') <> 'off'"
"""Every connection of the application asks for `jit = off`, and no server has this by default."""


def are_refused(error: Exception) -> bool:
    """pgbouncer's words, of old and new releases."""
    return "unsupported startup parameter" in str(error)


def without(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name != "options"}


def statement(options: str, *, is_shared: bool) -> str:
    """Returns the statement that sets `options`, a text like `-c jit=off -c lock_timeout=10s`.

    With `is_shared`, the pooler gives each transaction another session, so settings that are made here also reach other
    connections. Only settings that all of them want may be made.
    """
    given = {} if is_shared else dict(_SETTING.findall(options))
    chosen = {**given, "jit": "off"}
    return "SELECT " + ", ".join(f"set_config({quote(name)}, {quote(value)}, false)" for name, value in chosen.items())
