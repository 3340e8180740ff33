"""Finds the id up to which the audit trail is decided: each event up to it is committed, or never will be.

Transactions do not commit in the order of their events' ids, so a reader that continues after the last id that it saw
would miss events.

1. Read the last id that was given out. Then take our own transaction id. The trigger of `audit_events` takes a
   transaction id first and the event's id second, so every event up to that id belongs to an earlier transaction.
2. When no earlier transaction is open, each of these ids is decided.
"""

from dataclasses import dataclass
from typing import Any

from django.db import connection

from aiworkstation.audit.models import last_given_id

_OWN_TRANSACTION = "SELECT pg_current_xact_id()::text::bigint"
_FIRST_OPEN = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


@dataclass(frozen=True, slots=True)
class _Mark:
    """Events up to `last_id` belong to transactions before `transaction`."""

    last_id: int
    transaction: int


class DecidedEvents:
    """Call `up_to` now and then, outside transactions. The ids that one call marks may be decided in a later call."""

    def __init__(self) -> None:
        self._mark: _Mark | None = None

    def up_to(self, known: int) -> int | None:
        """Returns an id after `known` up to which all events are decided, or None if there is none yet."""
        if self._mark is None:
            given_out = last_given_id()
            if given_out <= known:
                return None
            # Two statements: a snapshot of the first would be too old for the second.
            self._mark = _Mark(given_out, _value(_OWN_TRANSACTION))
        if _value(_FIRST_OPEN) < self._mark.transaction:
            return None
        last_id, self._mark = self._mark.last_id, None
        return last_id


def _value(statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        (value,) = cursor.fetchone()
    return value
