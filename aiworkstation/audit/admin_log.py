"""Copies every entry of the admin's own log to the audit trail."""

import json
from collections.abc import Iterable
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry, LogEntryManager
from django.db import transaction
from django.db.models.signals import post_save

from aiworkstation.audit.origin import current_actor
from aiworkstation.audit.record import record

HAPPENED = {ADDITION: "added", CHANGE: "changed", DELETION: "deleted"}


def connect() -> None:
    """Django saves one entry, or creates several at once for an action on a list, which sends no signal."""
    post_save.connect(_entry_saved, sender=LogEntry, dispatch_uid="audit")
    LogEntryManager.bulk_create = _bulk_create  # type: ignore[method-assign]


def _entry_saved(*, instance: LogEntry, created: bool, **signal: Any) -> None:
    if created:
        _record(instance)


def _bulk_create(self: Any, objs: Iterable[LogEntry], *arguments: Any, **options: Any) -> list[LogEntry]:
    # The entries and their audit events commit together, or not at all.
    with transaction.atomic():
        entries: list[LogEntry] = self.get_queryset().bulk_create(objs, *arguments, **options)
        for entry in entries:
            _record(entry)
    return entries


def _record(entry: LogEntry) -> None:
    model = f"{entry.content_type.app_label}.{entry.content_type.model}" if entry.content_type else "?"
    changes = {"object": entry.object_repr, "message": _message(entry.change_message)}
    happened = HAPPENED.get(entry.action_flag, "changed")
    record(current_actor(), f"admin.{happened}", f"{model}:{entry.object_id}", changes)


def _message(text: str) -> Any:
    """Django writes JSON; other code may write plain text."""
    try:
        return json.loads(text) if text else []
    except ValueError:
        return text
