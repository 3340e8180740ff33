"""Finds documents with the permissions of the caller, by the owner's id or by uid. All other code finds them here."""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from unicodedata import normalize

from django.contrib.auth.models import User
from django.db.models import Q
from django.http import Http404

from aiworkstation.access.lookup import ALL, Caller, as_uuid, filter_by_labels, owned_by
from aiworkstation.access.not_yours import NotYours
from documents.models import Document, DocumentQuerySet, DocumentStatus

CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def readable() -> DocumentQuerySet:
    """Returns documents with everything that is shown of them."""
    return Document.objects.with_state().select_related("owner", "duplicate_of", "parent")


def find_documents(user: Caller, ids: Iterable[str]) -> dict[str, Document]:
    """Returns the documents with these ids that the user may see. The user's own ids take precedence over uids."""
    wanted = {id for id in ids if CLIENT_ID.fullmatch(id)}
    found = {row.client_id: row for row in readable().filter(owner_id=user.pk, client_id__in=wanted)}
    uids = {uid: id for id in wanted - found.keys() if (uid := as_uuid(id)) is not None}
    if uids:
        found |= {uids[row.uid]: row for row in readable().visible_to(user).filter(uid__in=uids)}
    return found


def find_same_content(owner: User, sha256: str, project_id: str) -> Document | None:
    """Returns a document that the owner uploaded to the project with these bytes, if possible an indexed one."""
    rows = Document.objects.with_state().filter(owner=owner, project_id=project_id, parent=None, sha256=sha256)
    is_read = Q(state__in=[DocumentStatus.INDEXED, DocumentStatus.QUEUED, DocumentStatus.PROCESSING])
    return rows.filter(is_read).first() or rows.first()


def get_document(user: Caller, id: str) -> Document:
    """Raises Http404 if there is no such document, and NotYours, which looks the same, if it is another user's."""
    document = find_documents(user, [id]).get(id)
    if document is not None:
        return document
    uid = as_uuid(id)
    if uid is not None and Document.objects.filter(pk=uid).exists():
        raise NotYours(f"document:{uid}")
    raise Http404("There is no such document.")


def list_documents(user: Caller, filters: Mapping[str, Any]) -> DocumentQuerySet:
    """Returns the documents that the user may see and that pass the filters, by default the user's own.

    Filters: `owner` (a username or `all`), `status` (several, or `all`), `type`, `mode`, `project_id`, `tag`,
    `q` (in filenames).
    """
    rows = owned_by(readable(), user, filters.get("owner", ""))
    statuses = filters.get("status") or []
    if statuses and ALL not in statuses:
        rows = rows.filter(Q(state__in=statuses))
    rows = filter_by_labels(rows, filters, type_field="file_type")
    if q := filters.get("q"):
        # macOS writes the accents of names apart from their letters.
        rows = rows.filter(Q(filename__icontains=normalize("NFC", q)) | Q(filename__icontains=normalize("NFD", q)))
    return rows
