"""A pause of all work: no step and no plain task begins on any machine. Running ones continue to their end."""

from django.db import transaction

from aiworkstation.audit.record import record
from workflows.engine.notifications import WAKE, Notification, notify
from workflows.models import Pause


def pause(*, actor: str, reason: str = "") -> bool:
    """False if work was paused already."""
    with transaction.atomic():
        _, is_new = Pause.objects.get_or_create(id=1, defaults={"by": actor, "reason": reason})
        if is_new:
            record(actor, "work.paused", "work:all", {"reason": reason})
    return is_new


def resume(*, actor: str) -> bool:
    """False if work was not paused."""
    with transaction.atomic():
        ended, _ = Pause.objects.all().delete()
        if ended:
            record(actor, "work.resumed", "work:all")
            notify([Notification(WAKE)])
    return bool(ended)
