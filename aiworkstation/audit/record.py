"""Writes audit events."""

from typing import Any
from uuid import UUID

from aiworkstation.audit.models import AuditEvent
from aiworkstation.audit.origin import stamped


def record(
    actor: object,
    action: str,
    object: str,
    changes: dict[str, Any] | None = None,
    *,
    execution_id: UUID | None = None,
) -> None:
    """Stores an event. Call it in the transaction of the change. `actor` is a user or a name; None is "anonymous".

    The channel and the address are those of the current request, or of the process.
    """
    name = getattr(actor, "username", "") or str(actor) if actor else "anonymous"
    AuditEvent.objects.create(
        actor=stamped(name), action=action, object=object[:120], changes=changes or {}, execution_id=execution_id
    )
