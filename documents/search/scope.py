"""The scope of a search: the documents that it may answer from."""

import math
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import EmptyResultSet
from django.db import connection

from aiworkstation.access.models import sees_only
from documents.lookup import find_documents
from documents.models import Document

MAX_COUNTED_DOCUMENTS = 5_000
_NOTHING = "SELECT uid, generation, chunk_count FROM documents WHERE false"


@dataclass(frozen=True, kw_only=True)
class Filters:
    """`document_id` is an id by which the asking user may name a document."""

    project_id: str | None = None
    tag: str | None = None
    file_type: str | None = None
    document_id: str | None = None


@dataclass(frozen=True)
class Scope:
    """`sql` selects `uid` and `generation` of the documents. A search finds no other document.

    `owner` is set if all of them belong to this user; it only makes the search faster. `chunks` is how many chunks
    they have, or infinity if there are more than MAX_COUNTED_DOCUMENTS documents.
    """

    sql: str
    parameters: tuple[Any, ...]
    owner: int | None
    chunks: float
    is_one_document: bool


def scope_of(user: User, filters: Filters) -> Scope:
    """Returns the user's own documents that pass the filters. A single named one may be any that `user` can see."""
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
    return Scope(sql, parameters, owner, _count_chunks(sql, parameters), filters.document_id is not None)


def _count_chunks(sql: str, parameters: tuple[Any, ...]) -> float:
    limited = f"SELECT count(*), coalesce(sum(chunk_count), 0) FROM ({sql} LIMIT {MAX_COUNTED_DOCUMENTS + 1}) t"
    with connection.cursor() as cursor:
        cursor.execute(limited, parameters)
        documents, chunks = cursor.fetchone()
    return float(chunks) if documents <= MAX_COUNTED_DOCUMENTS else math.inf
