"""The chunk that a search found, shown within its page."""

from dataclasses import dataclass

from django.db.models import Count, Sum
from django.db.models.functions import Length
from django.utils.safestring import SafeString

from documents.models import Document
from documents.search.query_parser import parse_query
from documents.search.snippets import Snippet, highlighted
from documents.text.chunker import PAGE_SEPARATOR
from documents.text.languages import ENGLISH


@dataclass(frozen=True)
class ChunkInPage:
    """`text` is the chunk with the question's words marked. `before` and `after` are the rest of the page."""

    page: int
    before: str
    text: SafeString
    after: str


def find_chunk_in_page(document: Document, chunk_id: int, question: str) -> ChunkInPage | None:
    """Returns None if the document has been indexed again since the search."""
    chunk = document.current_chunks().filter(pk=chunk_id).first()
    page = document.current_pages().filter(number=chunk.page).first() if chunk else None
    if chunk is None or page is None:
        return None
    start = chunk.start - _page_start(document, chunk.page)
    end = start + chunk.end - chunk.start
    found = _highlight_question(page.text[start:end], document.language, question)
    return ChunkInPage(chunk.page, page.text[:start], found.as_html(), page.text[end:])


def _page_start(document: Document, number: int) -> int:
    """Returns the page's offset in the document's text, which is the pages joined."""
    before = document.current_pages().filter(number__lt=number)
    sums = before.aggregate(characters=Sum(Length("text"), default=0), pages=Count("number"))
    return int(sums["characters"] + sums["pages"] * len(PAGE_SEPARATOR))


def _highlight_question(text: str, language: str, question: str) -> Snippet:
    """Marks the question's words."""
    query = parse_query(question, list(dict.fromkeys([ENGLISH, language])))
    return highlighted(text, language, query.lexemes, query.beginnings)
