"""The only way to a document: by its owner's name for it, or by its uid."""

import re
from collections.abc import Iterable
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import Http404

from documents.models import Document

CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def find_documents(user: AbstractBaseUser | AnonymousUser, ids: Iterable[str]) -> dict[str, Document]:
    """The documents behind `ids` that the user may see. A name of the user's own goes before a uid."""
    wanted = {id for id in ids if CLIENT_ID.fullmatch(id)}
    rows = Document.objects.with_state().select_related("owner", "duplicate_of", "parent")
    found = {row.client_id: row for row in rows.filter(owner_id=user.pk, client_id__in=wanted)}
    uids = {uid: id for id in wanted - found.keys() if (uid := _as_uid(id)) is not None}
    if uids:
        found |= {uids[row.uid]: row for row in rows.visible_to(user).filter(uid__in=uids)}
    return found


def get_document(user: AbstractBaseUser | AnonymousUser, id: str) -> Document:
    """Raises Http404, for what is not there and for what the user may not see alike."""
    document = find_documents(user, [id]).get(id)
    if document is None:
        raise Http404("There is no such document.")
    return document


def _as_uid(text: str) -> UUID | None:
    """Only as it is written everywhere, so that two spellings are not two documents."""
    try:
        uid = UUID(text)
    except ValueError:
        return None
    return uid if str(uid) == text else None
