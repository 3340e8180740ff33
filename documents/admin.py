"""Documents in the admin, read-only."""

from django.contrib import admin

from aiworkstation.audit.admin import ReadOnly
from documents.models import Document


@admin.register(Document)
class DocumentAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("filename", "owner", "client_id", "status", "file_size", "chunk_count", "project_id", "created_at")
    list_filter = ("status", "file_type", "mode", "created_at")
    list_select_related = ("owner",)
    search_fields = ("uid", "client_id", "filename", "owner__username", "project_id", "sha256")
    show_full_result_count = False
