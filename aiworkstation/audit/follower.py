"""Follows the audit trail: its events are an outbox, which costs their writers nothing.

Every change writes its audit event in its own transaction. So a change that is rolled back has no event, and one that
is committed is found, however many processes die meanwhile. The cursor moves in the transaction in which the events are
handled, so what follows from an event is neither lost nor done twice.
"""

from collections.abc import Callable, Collection

from django.db import transaction

from aiworkstation.audit.decided import DecidedEvents
from aiworkstation.audit.models import AuditCursor, AuditEvent

BATCH = 200
"""How many events one transaction handles."""
WINDOW = 20_000
"""How many ids one transaction searches for them."""
ROUNDS = 20
"""How many transactions one call makes, so that its caller gets to its other duties."""

Handle = Callable[[list[AuditEvent]], int]
"""Handles events in the order of their ids. Returns how many things it has done."""


class Follower:
    """Gives `handle` the events with these actions. `name` is that of the reader's cursor."""

    def __init__(self, name: str, actions: Collection[str], handle: Handle) -> None:
        self._name = name
        self._actions = actions
        self._handle = handle
        self._decided = DecidedEvents()

    def follow(self) -> int:
        """Handles the events since the last time. Returns the sum of what `handle` returned.

        On the first call, the reader begins at the end of the trail.
        """
        cursor = AuditCursor.objects.filter(pk=self._name).first()
        if cursor is None:
            with transaction.atomic():
                cursor = AuditCursor.locked(self._name)
        upto = self._decided.up_to(cursor.last_id)
        if upto is None:
            return 0
        done = 0
        for _ in range(ROUNDS):
            count, last_id = self._handle_batch(upto)
            done += count
            if last_id >= upto:
                break
        return done

    @transaction.atomic
    def _handle_batch(self, upto: int) -> tuple[int, int]:
        """Handles the next events up to an id. Returns what `handle` returned, and how far it came."""
        cursor = AuditCursor.objects.select_for_update(skip_locked=True).filter(pk=self._name).first()
        if cursor is None:  # another process is reading
            return 0, upto
        end = min(upto, cursor.last_id + WINDOW)
        events = list(
            AuditEvent.objects.filter(id__gt=cursor.last_id, id__lte=end, action__in=self._actions).order_by("id")[
                :BATCH
            ]
        )
        if len(events) == BATCH:
            end = events[-1].pk
        count = self._handle(events) if events else 0
        AuditCursor.objects.filter(pk=self._name, last_id__lt=end).update(last_id=end)
        return count, max(end, cursor.last_id)
