"""Pauses of all work, of a tool or of a project, and drained workers. What is running continues to its end.

A pause is a row that every turn reads, so it holds on all machines at once, and after any restart.
"""

from uuid import UUID

from django.db import transaction

from aiworkstation.audit.record import record
from workflows.engine.notifications import WAKE, Notification, notify
from workflows.models import Pause, Worker

ALL = Pause.Kind.ALL


def pause(*, actor: str, reason: str = "", kind: Pause.Kind = ALL, name: str = "") -> bool:
    """Pauses all work, the steps of a tool (empty: model steps), or the jobs of a project. False if it was paused."""
    with transaction.atomic():
        # A unique constraint decides if two people pause at once: one of them makes the row and the event.
        _, is_new = Pause.objects.get_or_create(kind=kind, name=name, defaults={"by": actor, "reason": reason})
        if is_new:
            record(actor, "work.paused", _object(kind, name), {"reason": reason})
    return is_new


def resume(*, actor: str, kind: Pause.Kind = ALL, name: str = "") -> bool:
    """Ends such a pause. False if there was none."""
    with transaction.atomic():
        ended, _ = Pause.objects.filter(kind=kind, name=name).delete()
        if ended:
            record(actor, "work.resumed", _object(kind, name))
            # The pause itself needs no notification, because each turn reads it. Its end does: idle workers sleep.
            notify([Notification(WAKE)])
    return bool(ended)


def drain(worker: UUID, *, actor: str) -> bool:
    """Lets a worker take no new step, within a sixth of LEASE_SECONDS. False if it is gone, or drained already."""
    return _set_drained(worker, True, "worker.drained", actor=actor)


def end_drain(worker: UUID, *, actor: str) -> bool:
    """Lets it take steps again. False if it is gone, or was not drained."""
    return _set_drained(worker, False, "worker.resumed", actor=actor)


@transaction.atomic
def _set_drained(id: UUID, is_drained: bool, action: str, *, actor: str) -> bool:
    changed = Worker.objects.filter(pk=id, is_drained=not is_drained).update(is_drained=is_drained)
    if not changed:
        return False
    worker = Worker.objects.get(pk=id)
    record(actor, action, f"worker:{id}", {"host": worker.host, "pid": worker.pid})
    return True


def _object(kind: Pause.Kind, name: str) -> str:
    return "work:all" if kind == ALL else f"{kind.value}:{name or 'model'}"
