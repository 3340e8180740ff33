"""Notifications (NOTIFY) that wake workers. Sent after the commit: inside it, commits would wait for each other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import connection, transaction
from psycopg.sql import quote

WAKE = "workflow_wake"
"""Executions are due. The payload is the kind of slot that they need, or empty for any kind."""
CANCEL = "workflow_cancel"
"""A job was ended early. The payload is its id."""
COOLDOWN = "workflow_cooldown"
"""The table of cool-downs has changed."""


@dataclass(frozen=True, slots=True)
class Notification:
    channel: str
    payload: str = ""


def wake(slots: Iterable[str]) -> list[Notification]:
    """One notification for each kind of slot."""
    return [Notification(WAKE, slot) for slot in dict.fromkeys(slots)]


def notify(notifications: Sequence[Notification]) -> None:
    """Sends them once the caller's transaction is committed."""
    if notifications:
        # If the process dies between the commit and this, the notification is lost. Workers look without one, too.
        transaction.on_commit(lambda: _send(notifications))


def statement_for(notifications: Sequence[Notification]) -> str:
    """One statement for one round trip. NOTIFY takes no parameters and needs no plan."""
    return ";".join(f"NOTIFY {each.channel}, {quote(each.payload)}" for each in notifications)


def _send(notifications: Sequence[Notification]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement_for(notifications))
