"""Search over the passages of indexed documents.

A passage is found when it has any of the question's words, and scored by BM25; one with the question as a phrase
gains as much as its words standing there once more. `"quoted phrases"` must be there, `-words` must not, `begin*`
is any word that begins so; where nothing is left then, the signs are not taken for signs.
With an embedding model the passages that are near in meaning are mixed in.

All statements of a search see the database at one moment: a document that is indexed again is found as it was or
as it is, whole.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import ProgrammingError, connection, transaction

from documents.models import DocumentChunk
from documents.search.embeddings import EmbeddedQuestion, embed_question
from documents.search.query_parser import Asked, ask, ask_plainly
from documents.search.ranking import Hit, best_chunks, few_of_each
from documents.search.scope import Filters, Scope, scope_of
from documents.search.snippets import Snippet, snippets
from documents.search.vectors import mixed, nearest, similarities
from documents.text.languages import ENGLISH
from documents.text.words import words

# Plans with sequential scans or compiled expressions take longer than the search itself, and so does reading ahead
# where most is in memory. A bitmap that outgrows work_mem keeps pages only, and each row of theirs is looked at again.
_SETTINGS = (
    "SET LOCAL jit = off; SET LOCAL enable_seqscan = off; SET LOCAL max_parallel_workers_per_gather = 0;"
    " SET LOCAL effective_io_concurrency = 0; SET LOCAL work_mem = '64MB'"
)
_SNAPSHOT = f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; {_SETTINGS}"

_SHOWN = [f"document__{name}" for name in ("owner_id", "client_id", "filename", "language")]

# The distinct values of an indexed column, without reading the rows.
_LANGUAGES = """
WITH RECURSIVE found AS (
  SELECT min(language) AS language FROM documents WHERE language > ''
  UNION ALL
  SELECT (SELECT min(language) FROM documents WHERE language > found.language) FROM found WHERE language IS NOT NULL
) SELECT language FROM found WHERE language IS NOT NULL
"""


@dataclass(frozen=True)
class Question:
    """`document_id` is a name that the asking user may use."""

    text: str
    limit: int = 10
    project_id: str | None = None
    tag: str | None = None
    file_type: str | None = None
    document_id: str | None = None


@dataclass(frozen=True)
class Result:
    document_id: str
    filename: str
    page: int
    chunk_id: str
    snippet: Snippet
    score: float

    def as_json(self) -> dict[str, Any]:
        return {
            "documentId": self.document_id,
            "filename": self.filename,
            "page": self.page,
            "chunkId": self.chunk_id,
            "snippet": self.snippet.text,
            "score": self.score,
        }


def search(user: User, question: Question) -> list[Result]:
    """The best passages first, of the documents that `user` may see."""
    text = question.text.replace("\0", " ")
    embedded = embed_question(text) if words(text) else None
    with one_moment():
        languages = languages_of_documents()
        scope = scope_of(user, Filters(question.project_id, question.tag, question.file_type, question.document_id))
        asked = ask(text, languages)
        hits = best_chunks(asked, scope, languages, question.limit)
        if not hits and asked.is_strict:
            asked = ask_plainly(text, languages)
            hits = best_chunks(asked, scope, languages, question.limit)
        if embedded is not None and not asked.is_empty:
            hits = _with_vectors(hits, embedded, asked, scope)
        kept = hits if scope.is_one_document else few_of_each(hits)
        return _results(user, kept[: question.limit], asked)


def _with_vectors(hits: list[Hit], embedded: EmbeddedQuestion, asked: Asked, scope: Scope) -> list[Hit]:
    """Mixed with the passages that are near in meaning; where something must be there, only in another order."""
    model, vector = embedded.model, embedded.vector
    try:
        with transaction.atomic():
            near = similarities(model, vector, hits) if asked.is_strict else nearest(model, vector, scope)
    except ProgrammingError:  # another model has taken its place since the question was embedded
        return hits
    return mixed(hits, near) if near else hits


@contextmanager
def one_moment() -> Iterator[None]:
    """Within another transaction only the settings hold."""
    is_outer = not connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_SNAPSHOT if is_outer else _SETTINGS)
        yield


def languages_of_documents() -> list[str]:
    """English first: words of unknown languages are stemmed as English ones."""
    with connection.cursor() as cursor:
        cursor.execute(_LANGUAGES)
        found = [language for (language,) in cursor.fetchall()]
    return list(dict.fromkeys([ENGLISH, *found]))


def _results(user: User, hits: Sequence[Hit], asked: Asked) -> list[Result]:
    rows = DocumentChunk.objects.select_related("document").only("page", "text", *_SHOWN)
    found = rows.in_bulk([hit.chunk_id for hit in hits])
    shown = [(hit, found[hit.chunk_id]) for hit in hits if hit.chunk_id in found]
    passages = [(chunk.text, chunk.document.language) for _, chunk in shown]
    return [
        Result(
            document_id=chunk.document.id_for(user),
            filename=chunk.document.filename,
            page=chunk.page,
            chunk_id=str(chunk.pk),
            snippet=snippet,
            score=round(hit.score, 6),
        )
        for (hit, chunk), snippet in zip(shown, snippets(passages, asked.lexemes, asked.beginnings), strict=True)
    ]
