"""Hybrid search over the chunks of indexed documents: full text ranked by BM25, mixed with vectors.

A chunk is found if it has any of the question's words, and is scored by BM25. A chunk that has the whole question as
a phrase gains as much as its words score once more. `"quoted phrases"` must occur, `-words` must not, and `begin*`
matches every word with that beginning. If no chunk has all that was asked for, the answer is marked as relaxed.
With an embedding model, chunks that are near in meaning are mixed in.

All statements of a search see one snapshot of the database: a document that is being indexed again is found either
in its old or in its new state, never in a mixture.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import ProgrammingError, connection, transaction

from documents.models import DocumentChunk
from documents.search.embeddings import EmbeddedQuestion, embed_question
from documents.search.query_parser import ParsedQuery, parse_query
from documents.search.ranking import Hit, best_chunks, limit_per_document
from documents.search.scope import Filters, Scope, scope_of
from documents.search.snippets import Snippet, snippets
from documents.search.vector_index import mix_rankings, nearest, similarities
from documents.text.languages import ENGLISH
from documents.text.words import words

# Sequential scans, JIT compilation and parallel workers take longer than the search itself. So does prefetching, as
# most pages are in memory. A bitmap that outgrows work_mem becomes lossy, and every row of its pages is rechecked.
_SETTINGS = (
    "SET LOCAL jit = off; SET LOCAL enable_seqscan = off; SET LOCAL max_parallel_workers_per_gather = 0;"
    " SET LOCAL effective_io_concurrency = 0; SET LOCAL work_mem = '64MB'"
)
_SNAPSHOT = f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; {_SETTINGS}"

_SHOWN = [f"document__{name}" for name in ("owner_id", "client_id", "filename", "language")]

# A loose index scan: the distinct values of an indexed column, without reading the rows.
_LANGUAGES_OF_OWNER = """
WITH RECURSIVE found AS (
  SELECT min(language) AS language FROM documents WHERE owner_id = %(owner)s AND language > ''
  UNION ALL
  SELECT (SELECT min(language) FROM documents WHERE owner_id = %(owner)s AND language > found.language)
  FROM found WHERE language IS NOT NULL
) SELECT language FROM found WHERE language IS NOT NULL
"""
_LANGUAGES_OF_SCOPE = (
    "SELECT DISTINCT language FROM documents WHERE uid IN (SELECT uid FROM ({scope}) s) AND language > ''"
)


@dataclass(frozen=True)
class Question(Filters):
    text: str
    limit: int = 10


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


class Answer(list[Result]):
    """The results, best first. `is_relaxed`: none of them has all that was asked for, but only some of the words."""

    def __init__(self, results: Iterable[Result] = (), *, is_relaxed: bool = False) -> None:
        super().__init__(results)
        self.is_relaxed = is_relaxed

    def as_json(self) -> dict[str, Any]:
        return {"results": [result.as_json() for result in self], "relaxed": self.is_relaxed}


def search(user: User, question: Question) -> Answer:
    """Returns the best chunks of the documents that `user` may see."""
    text = question.text.replace("\0", " ")
    # Outside of the transaction: the provider may take seconds to answer.
    embedded = embed_question(text) if words(text) else None
    with one_snapshot():
        scope = scope_of(user, question)
        languages = _languages_of(scope)
        query = parse_query(text, languages)
        hits = best_chunks(query, scope, languages, question.limit)
        is_relaxed = query.ignores_signs or not any(hit.has_every_word for hit in hits)
        if embedded is not None and not query.is_empty:
            hits = _mix_with_vectors(hits, embedded, query, scope)
        kept = hits if scope.is_one_document else limit_per_document(hits)
        results = _results(user, kept[: question.limit], query)
        return Answer(results, is_relaxed=is_relaxed and bool(results))


def _mix_with_vectors(hits: list[Hit], embedded: EmbeddedQuestion, query: ParsedQuery, scope: Scope) -> list[Hit]:
    """Adds chunks that are near in meaning. A strict query gets no more chunks, only another order."""
    model, vector = embedded.model, embedded.vector
    try:
        with transaction.atomic():
            near = similarities(model, vector, hits) if query.is_strict else nearest(model, vector, scope)
    except ProgrammingError:  # another model replaced this one, and its table, after the question was embedded
        return hits
    return mix_rankings(hits, near) if near else hits


@contextmanager
def one_snapshot() -> Iterator[None]:
    """Lets all statements see one snapshot. Within another transaction only the planner settings apply."""
    is_outer = not connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_SNAPSHOT if is_outer else _SETTINGS)
        yield


def _languages_of(scope: Scope) -> list[str]:
    """Returns the languages of the documents, English first: a word of an unknown language is stemmed as English."""
    with connection.cursor() as cursor:
        if scope.is_one_document or scope.owner is None:
            cursor.execute(_LANGUAGES_OF_SCOPE.format(scope=scope.sql), scope.parameters)
        else:
            cursor.execute(_LANGUAGES_OF_OWNER, {"owner": scope.owner})
        found = [language for (language,) in cursor.fetchall()]
    return list(dict.fromkeys([ENGLISH, *found]))


def _results(user: User, hits: Sequence[Hit], query: ParsedQuery) -> list[Result]:
    rows = DocumentChunk.objects.select_related("document").only("page", "text", *_SHOWN)
    found = rows.in_bulk([hit.chunk_id for hit in hits])
    shown = [(hit, found[hit.chunk_id]) for hit in hits if hit.chunk_id in found]
    texts = [(chunk.text, chunk.document.language) for _, chunk in shown]
    return [
        Result(
            document_id=chunk.document.id_for(user),
            filename=chunk.document.filename,
            page=chunk.page,
            chunk_id=str(chunk.pk),
            snippet=snippet,
            score=round(hit.score, 6),
        )
        for (hit, chunk), snippet in zip(shown, snippets(texts, query.lexemes, query.beginnings), strict=True)
    ]
