"""The audit trail in the admin, to read."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Q, QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.functional import cached_property
from django.utils.html import format_html

from aiworkstation.audit.models import NOT_OF_A_STEP, AuditEvent
from aiworkstation.audit.record import record
from aiworkstation.csv_cells import BOM, csv_line

MOST_COUNTED = 10_000
BATCH = 2000
COLUMNS = ("id", "at", "actor", "channel", "address", "action", "object", "jobId", "changes")


class ReadOnly:
    """Makes an admin or an inline read-only: only the engine's verbs change its rows."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class NewestPaginator(Paginator):  # type: ignore[type-arg]
    """Counts the newest MOST_COUNTED rows at most, however many there are."""

    @cached_property
    def count(self) -> int:
        events: Any = self.object_list
        return int(events[:MOST_COUNTED].count())


class ActionFilter(admin.SimpleListFilter):
    """The actions that there are events of, besides those of steps."""

    title = "action"
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        with connection.cursor() as cursor:
            cursor.execute(_ACTIONS)
            return [(action, action) for (action,) in cursor.fetchall()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        return queryset.filter(NOT_OF_A_STEP, action=self.value()) if self.value() else queryset


# Reads one entry of the index for each action, and not every event.
_ACTIONS = """
WITH RECURSIVE known AS (
  (SELECT action FROM audit_events WHERE NOT (action::text LIKE 'step.%') ORDER BY action LIMIT 1)
  UNION ALL
  SELECT (SELECT later.action FROM audit_events later
          WHERE NOT (later.action::text LIKE 'step.%') AND later.action > known.action ORDER BY later.action LIMIT 1)
  FROM known WHERE known.action IS NOT NULL
)
SELECT action FROM known WHERE action IS NOT NULL
"""


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Made for millions of events: nothing counts, sorts or searches all of them. Each filter has an index."""

    list_display = ("at", "actor", "channel", "address", "action", "subject", "changes")
    list_filter = (ActionFilter, "at")
    search_fields = ("actor",)  # shows the field; `get_search_results` decides
    search_help_text = (
        "The whole name of an actor, an action such as job.failed, or an object: a job's id, or document:<id>. "
        "Find the events of steps by their job."
    )
    sortable_by = ()
    paginator = NewestPaginator
    show_full_result_count = False
    list_max_show_all = 0
    show_facets = admin.ShowFacets.NEVER  # a count of each filter

    @admin.display(description="object")
    def subject(self, event: AuditEvent) -> str:
        """The object, with a link to its job if it has one."""
        if event.execution_id is None:
            return event.object
        return format_html('<a href="{}">{}</a>', reverse("job", args=[event.execution_id]), event.object)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent], search_term: str
    ) -> tuple[QuerySet[AuditEvent], bool]:
        return (queryset.filter(_matching(search_term.strip())) if search_term.strip() else queryset), False

    def get_urls(self) -> list[Any]:
        export = path("export/", self.admin_site.admin_view(self.export), name="audit_auditevent_export")
        return [export, *super().get_urls()]

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """Sends every event that passes the filters of the list, newest first, as CSV. The export is an event too."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            events = self.get_changelist_instance(request).get_queryset(request)
            if "%00" in request.META["QUERY_STRING"]:  # the event of the export could not be stored
                raise IncorrectLookupParameters
        except IncorrectLookupParameters:
            return redirect("admin:audit_auditevent_changelist")
        record(request.user, "audit.exported", "audit:events", {"filters": request.GET.dict()})
        response = StreamingHttpResponse(_csv(events), content_type="text/csv; charset=utf-8")
        response.headers["Content-Disposition"] = 'attachment; filename="audit-events.csv"'
        response.headers["Cache-Control"] = "private, no-cache"
        return response


def _matching(text: str) -> Q:
    """What is looked for in the search field. Each kind has an index."""
    noun, colon, id = text.partition(":")
    try:
        return Q(execution_id=UUID(id if noun in ("", "job") and colon else text))
    except ValueError:
        pass
    found = Q(object=text) if colon else Q(action=text) | Q(actor=text)
    return NOT_OF_A_STEP & found


def _csv(events: QuerySet[AuditEvent]) -> Iterator[str]:
    yield BOM + csv_line(COLUMNS)
    rows = events.order_by("-id")
    last = None
    # Batches by id: the statements stay short, whatever the number of events.
    while batch := list((rows if last is None else rows.filter(pk__lt=last))[:BATCH]):
        yield "".join(map(csv_line, map(_cells, batch)))
        last = batch[-1].pk


def _cells(event: AuditEvent) -> list[Any]:
    job = str(event.execution_id) if event.execution_id else ""
    changes = json.dumps(event.changes, ensure_ascii=False)
    where = [event.actor, event.channel, event.address]
    return [event.pk, event.at.isoformat(), *where, event.action, event.object, job, changes]
