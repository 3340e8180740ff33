"""Mails in the admin, to read. The link of a question is not stored, so it cannot be read here."""

from django.contrib import admin

from aiworkstation.audit.admin import ReadOnly
from mail.models import Mail


@admin.register(Mail)
class MailAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("created_at", "purpose", "address", "subject", "sent_at", "tries", "next_try_at", "error")
    list_filter = ("purpose", "created_at")
    search_fields = ("address", "subject")
    fields = (*list_display, "body")
    show_full_result_count = False
