"""The only way to a document, by its owner's name for it or by its uid, and to lists of them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Q
from django.http import Http404

from aiworkstation.access.errors import NotYours
from documents.models import Document, DocumentQuerySet

Caller = AbstractBaseUser | AnonymousUser
ALL = "all"
CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def readable() -> DocumentQuerySet:
    """Documents with all that is shown of them."""
    return Document.objects.with_state().select_related("owner", "duplicate_of", "parent")


def find_documents(user: Caller, ids: Iterable[str]) -> dict[str, Document]:
    """The documents behind `ids` that the user may see. A name of the user's own goes before a uid."""
    wanted = {id for id in ids if CLIENT_ID.fullmatch(id)}
    found = {row.client_id: row for row in readable().filter(owner_id=user.pk, client_id__in=wanted)}
    uids = {uid: id for id in wanted - found.keys() if (uid := _as_uid(id)) is not None}
    if uids:
        found |= {uids[row.uid]: row for row in readable().visible_to(user).filter(uid__in=uids)}
    return found


def get_document(user: Caller, id: str) -> Document:
    """Raises Http404 for what is not there, and NotYours, which looks the same, for what is another's."""
    document = find_documents(user, [id]).get(id)
    if document is not None:
        return document
    uid = _as_uid(id)
    if uid is not None and Document.objects.filter(pk=uid).exists():
        raise NotYours(f"document:{uid}")
    raise Http404("There is no such document.")


def _as_uid(text: str) -> UUID | None:
    """Only as it is written everywhere, so that two spellings are not two documents."""
    try:
        uid = UUID(text)
    except ValueError:
        return None
    return uid if str(uid) == text else None


def list_documents(user: Caller, filters: Mapping[str, Any]) -> DocumentQuerySet:
    """One's own documents, unless told.

    Filters: `owner` (a username or `all`), `status` (several, or `all`), `type`, `mode`, `project_id`, `tag`,
    `q` (in filenames). Whatever they say, what a user may not see is not in it.
    """
    rows = _of_owner(user, filters.get("owner", ""))
    statuses = filters.get("status") or []
    if statuses and ALL not in statuses:
        rows = rows.filter(Q(state__in=statuses))
    exact = {"type": "file_type", "mode": "mode", "project_id": "project_id"}
    wanted = {field: filters[name] for name, field in exact.items() if filters.get(name)}
    if tag := filters.get("tag"):
        wanted["tags__contains"] = [tag]
    if q := filters.get("q"):
        wanted["filename__icontains"] = q
    return rows.filter(**wanted)


def _of_owner(user: Caller, owner: str) -> DocumentQuerySet:
    rows = readable().visible_to(user)
    if not owner:
        return rows.filter(owner_id=user.pk)
    return rows if owner == ALL else rows.filter(owner__username=owner)
