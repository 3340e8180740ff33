"""Reads a document for an agent: a page or a chunk at a time, and never more than `maxChars` characters."""

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Length, Substr
from rest_framework.exceptions import NotFound

from aiworkstation.web.errors import Conflict
from aiworkstation.web.serializers import Errors, Integer, Name, StrictSerializer, invalid
from documents.models import Document

MAX_CHARS = 100_000


class ReadRequest(StrictSerializer):
    documentId = Name(source="document_id", max_length=200, help_text="The id of a document.")
    page = Integer(min_value=1, max_value=2**31 - 1, default=1, help_text="Counted from 1.")
    chunk = Integer(
        min_value=0, max_value=2**31 - 1, required=False, help_text="The index of a chunk, instead of a page."
    )
    start = Integer(min_value=0, max_value=2**31 - 1, default=0, help_text="The first character to return.")
    maxChars = Integer(source="max_chars", min_value=1, max_value=MAX_CHARS, default=20_000)

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        if "page" in data and "chunk" in data:
            errors["chunk"] = invalid("Send a page or a chunk, not both.")


def read_page(document: Document, page: int, start: int, max_chars: int, chunk: int | None = None) -> dict[str, Any]:
    """Returns `text`, and `nextStart` if there is more of the page. Raises Conflict and NotFound."""
    if not document.generation:
        raise Conflict(
            "The document has not been indexed yet. Start a bulk-documents job with its id.", code="not_indexed"
        )
    if chunk is None:
        found = _part(document.current_pages().filter(number=page), start, max_chars)
        missing = f"There is no page {page}: the last is page {document.page_count}."
    else:
        found = _part(document.current_chunks().filter(index=chunk), start, max_chars)
        missing = f"There is no chunk {chunk}: they are counted from 0, and there are {document.chunk_count}."
    if found is None:
        raise NotFound(missing)
    text, length = found
    end = start + len(text)
    return {
        "filename": document.filename,
        **({"page": page} if chunk is None else {"chunk": chunk}),
        "pageCount": document.page_count,
        "chunkCount": document.chunk_count,
        "text": text,
        "nextStart": end if end < length else None,
    }


def _part(rows: QuerySet[Any], start: int, most: int) -> tuple[str, int] | None:
    """The database cuts the text, because a page may be megabytes. Returns a part and the length of the whole."""
    part = rows.annotate(part=Substr("text", start + 1, most), length=Length("text"))
    found: tuple[str, int] | None = part.values_list("part", "length").first()
    return found
