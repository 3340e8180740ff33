"""The passage that a search found, within the page that it stands on."""

from dataclasses import dataclass

from django.db.models import Count, Sum
from django.db.models.functions import Length
from django.utils.safestring import SafeString

from documents.models import Document
from documents.search.highlighting import marked
from documents.search.query_parser import ask, ask_plainly
from documents.search.search import languages_of_documents
from documents.search.snippets import Snippet, highlighted
from documents.text.chunker import PAGE_SEPARATOR


@dataclass(frozen=True)
class Passage:
    """`text` has the question's words marked; `before` and `after` are the rest of the page."""

    page: int
    before: str
    text: SafeString
    after: str


def find_passage(document: Document, chunk_id: int, question: str) -> Passage | None:
    """None where the document has been indexed again since the search."""
    chunk = document.current_chunks().filter(pk=chunk_id).first()
    page = document.current_pages().filter(number=chunk.page).first() if chunk else None
    if chunk is None or page is None:
        return None
    start = chunk.start - _start_of_page(document, chunk.page)
    end = start + len(chunk.text)
    found = _highlighted(chunk.text, document.language, question)
    return Passage(chunk.page, page.text[:start], marked(found), page.text[end:])


def _start_of_page(document: Document, number: int) -> int:
    """Its place in the document's text, which is the pages joined."""
    before = document.current_pages().filter(number__lt=number)
    sums = before.aggregate(characters=Sum(Length("text"), default=0), pages=Count("number"))
    return int(sums["characters"] + sums["pages"] * len(PAGE_SEPARATOR))


def _highlighted(text: str, language: str, question: str) -> Snippet:
    """As the search did, the question is taken plainly where it finds nothing with its signs."""
    languages = languages_of_documents()
    asked = ask(question, languages)
    found = highlighted(text, language, asked.lexemes, asked.beginnings)
    if found.marks or not asked.is_strict:
        return found
    return highlighted(text, language, ask_plainly(question, languages).lexemes)
