"""Writes audit events."""

from typing import Any
from uuid import UUID

from aiworkstation.audit.models import AuditEvent


def record(
    actor: object,
    action: str,
    object: str,
    changes: dict[str, Any] | None = None,
    *,
    execution_id: UUID | None = None,
) -> None:
    """Stores an event. Call it in the transaction of the change. `actor` is a user or a name; None is "anonymous"."""
    name = getattr(actor, "username", "") or str(actor) if actor else "anonymous"
    AuditEvent.objects.create(
        actor=name[:200], action=action, object=object[:120], changes=changes or {}, execution_id=execution_id
    )
