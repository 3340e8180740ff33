"""Writes and deletes the rows of a document's generation: pages, chunks, and their full-text index.

The rows are written by COPY, without model instances, which would be slow for thousands of rows.
"""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from documents.models import ChunkTerms, ChunkVector, Document, DocumentChunk, DocumentPage
from documents.parsers import Rows
from documents.search import write_terms

Page = tuple[int, str, Rows | None]
"""A page's number, its text, and its cells if it is a table."""

_TABLES = (DocumentPage, DocumentChunk, ChunkTerms, ChunkVector)

_COPY_PAGES = "COPY document_pages (document_id, generation, number, text, rows) FROM STDIN"
_COPY_CHUNKS = """
COPY document_chunks (id, document_id, generation, index, page, start, "end", text, tokens) FROM STDIN
"""
_NEW_IDS = "SELECT nextval(pg_get_serial_sequence('document_chunks', 'id')) FROM generate_series(1, %s)"


def write_pages(document: Document, generation: int, pages: Sequence[Page]) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY_PAGES) as copy:
        for number, text, rows in pages:
            copy.write_row((document.pk, generation, number, text, None if rows is None else json.dumps(rows)))


def write_chunks(document: Document, generation: int, language: str, chunks: Sequence[list[Any]]) -> None:
    """Stores chunks, as `rechunking.rechunk` returns them, and indexes them. Call it in a transaction for both."""
    with connection.cursor() as cursor:
        cursor.execute(_NEW_IDS, [len(chunks)])
        ids = [id for (id,) in cursor.fetchall()]
        with cursor.copy(_COPY_CHUNKS) as copy:
            for id, chunk in zip(ids, chunks, strict=True):
                copy.write_row((id, document.pk, generation, *chunk))
    texts = [(id, text) for id, (*_, text, _) in zip(ids, chunks, strict=True)]
    write_terms(document.pk, document.owner_id, generation, language, texts)


def delete_generation(document: UUID, generation: int) -> None:
    for table in _TABLES:
        table._default_manager.filter(document=document, generation=generation).delete()


def delete_generations_before(document: UUID, generation: int) -> None:
    """Deletes earlier generations, including what crashed readings left."""
    if generation > 1:
        for table in _TABLES:
            table._default_manager.filter(document=document, generation__lt=generation).delete()
