"""A pause for all work: no step and no plain task is begun anywhere until it is over; what runs goes on to its end."""

from django.db import transaction

from aiworkstation.audit.record import record
from workflows.models import Pause
from workflows.settling import WAKE
from workflows.transaction import Note, send


def pause(*, actor: str, reason: str = "") -> bool:
    """False where work was paused already."""
    with transaction.atomic():
        _, is_new = Pause.objects.get_or_create(id=1, defaults={"by": actor, "reason": reason})
        if is_new:
            record(actor, "work.paused", "work:all", {"reason": reason})
    return is_new


def resume(*, actor: str) -> bool:
    """False where work was not paused."""
    with transaction.atomic():
        ended, _ = Pause.objects.all().delete()
        if ended:
            record(actor, "work.resumed", "work:all")
            send([Note(WAKE, "")])
    return bool(ended)
