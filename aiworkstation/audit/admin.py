"""The audit trail in the admin, to read."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from aiworkstation.audit.models import AuditEvent


class ReadOnly:
    """Makes an admin or an inline read-only: only the engine's verbs change its rows."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("at", "actor", "channel", "address", "action", "object", "changes")
    list_filter = ("action", "channel", "at")
    search_fields = ("actor", "action", "object")
    search_help_text = "An actor, an action such as job.failed, or an object such as job:<id>"
    date_hierarchy = "at"
    show_full_result_count = False
