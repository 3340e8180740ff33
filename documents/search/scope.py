"""Which documents a search may answer from."""

import math
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import EmptyResultSet
from django.db import connection

from aiworkstation.access.models import sees_only
from documents.lookup import find_documents
from documents.models import Document

MOST_DOCUMENTS = 5_000
_NOTHING = "SELECT uid, generation, chunk_count FROM documents WHERE false"


@dataclass(frozen=True)
class Filters:
    """`document_id` is a name that the asking user may use."""

    project_id: str | None = None
    tag: str | None = None
    file_type: str | None = None
    document_id: str | None = None


@dataclass(frozen=True)
class Scope:
    """`sql` selects `uid` and `generation` of the documents: what it does not, no search finds.

    `owner` is there to be quick: all of them are this user's. `chunks`: so many they have, infinity where there are
    more documents than were counted.
    """

    sql: str
    parameters: tuple[Any, ...]
    owner: int | None
    chunks: float
    is_one_document: bool


def scope_of(user: User, filters: Filters) -> Scope:
    """One's own documents; a single one that is named may be any that `user` may see."""
    owner = user.pk if filters.document_id is None else sees_only(user)
    documents = Document.objects.visible_to(user).filter(generation__gt=0)
    if owner is not None:
        documents = documents.filter(owner_id=owner)
    if filters.project_id is not None:
        documents = documents.filter(project_id=filters.project_id)
    if filters.tag is not None:
        documents = documents.filter(tags__contains=[filters.tag])
    if filters.file_type is not None:
        documents = documents.filter(file_type=filters.file_type)
    if filters.document_id is not None:
        found = find_documents(user, [filters.document_id])
        documents = documents.filter(pk__in=[document.pk for document in found.values()])
    rows = documents.order_by().values("uid", "generation", "chunk_count")
    try:
        sql, parameters = rows.query.sql_with_params()
    except EmptyResultSet:
        sql, parameters = _NOTHING, ()
    return Scope(sql, parameters, owner, _chunks(sql, parameters), filters.document_id is not None)


def _chunks(sql: str, parameters: tuple[Any, ...]) -> float:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), coalesce(sum(chunk_count), 0) FROM ({sql} LIMIT {MOST_DOCUMENTS + 1}) t", parameters
        )
        documents, chunks = cursor.fetchone()
    return float(chunks) if documents <= MOST_DOCUMENTS else math.inf
