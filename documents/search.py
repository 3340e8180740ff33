"""Full-text search over the chunks of indexed documents.

A chunk is found when it has any of the question's words, and scored by the sum over them of idf × `ts_rank`,
where idf is the BM25 one among the chunks that the user may see: that ranks far better than `ts_rank` of the
whole query, and requiring every word finds next to nothing. A chunk with the question as a phrase goes before
all others. `"quoted phrases"` must be there, `-words` must not; where nothing is left then, they are words like
others.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db import connection
from django.db.models import Case, Count, F, FloatField, Q, QuerySet, Sum, Value, When, Window
from django.db.models.expressions import Combinable
from django.db.models.functions import RowNumber

from documents.lookup import find_documents
from documents.models import Document, DocumentChunk
from documents.snippets import snippet
from documents.terms import CONFIGURATION, words

MAX_WORDS = 64
MAX_PER_DOCUMENT = 3
"""A long document must not fill the answer alone, unless it was asked for."""
BY_LENGTH = 1
"""`ts_rank`'s normalisation: by 1 + the logarithm of the length."""
MAX_TERM_RANK = 0.1

_PARTS = re.compile(r'(?P<not>(?<!\S)-(?=["\w]))?(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))')


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
    snippet: str
    score: float

    def as_json(self) -> dict[str, Any]:
        return {
            "documentId": self.document_id,
            "filename": self.filename,
            "page": self.page,
            "chunkId": self.chunk_id,
            "snippet": self.snippet,
            "score": self.score,
        }


@dataclass(frozen=True)
class _Term:
    lexeme: str
    repeats: int

    @property
    def query(self) -> SearchQuery:
        """Lexemes are letters and digits, so the quotes hold."""
        return SearchQuery(f"'{self.lexeme}'", config="simple", search_type="raw")


def search(user: User, question: Question) -> list[Result]:
    """The best chunks first, of the documents that `user` may see."""
    text = question.text.replace("\0", " ")
    documents = _documents(user, question)
    terms = _terms(words(text))
    if not terms:
        return []
    chunks = DocumentChunk.objects.filter(document__in=documents, generation=F("document__generation"))
    strict = _as_marked(chunks, text)
    scores = _ranked(strict, documents, terms, question) or _ranked(chunks, documents, terms, question)
    return _results(user, scores, terms)


def _documents(user: User, question: Question) -> QuerySet[Document]:
    documents = Document.objects.visible_to(user).filter(generation__gt=0)
    if question.project_id is not None:
        documents = documents.filter(project_id=question.project_id)
    if question.tag is not None:
        documents = documents.filter(tags__contains=[question.tag])
    if question.file_type is not None:
        documents = documents.filter(file_type=question.file_type)
    if question.document_id is not None:
        found = find_documents(user, [question.document_id])
        documents = documents.filter(pk__in=[document.pk for document in found.values()])
    return documents


def _terms(question_words: list[str]) -> list[_Term]:
    """The stems of the question, without stop words unless it has nothing else."""
    text = " ".join(question_words[:MAX_WORDS])
    sql = "SELECT lexeme, cardinality(positions) FROM unnest(to_tsvector(%s::regconfig, %s))"
    with connection.cursor() as cursor:
        for configuration in ("english", CONFIGURATION):
            cursor.execute(sql, [configuration, text])
            if rows := cursor.fetchall():
                return [_Term(*row) for row in rows]
    return []


def _phrase(text: str) -> SearchQuery | None:
    found = words(text)
    return SearchQuery(" ".join(found), config=CONFIGURATION, search_type="phrase") if found else None


def _as_marked(chunks: QuerySet[DocumentChunk], text: str) -> QuerySet[DocumentChunk]:
    """Only chunks with the quoted phrases and without the words behind a minus."""
    for part in _PARTS.finditer(text):
        phrase = _phrase(part["phrase"] or part["word"] or "")
        if phrase is None:
            continue
        if part["not"]:
            chunks = chunks.exclude(search=phrase)
        elif part["phrase"]:
            chunks = chunks.filter(search=phrase)
    return chunks


def _ranked(
    chunks: QuerySet[DocumentChunk], documents: QuerySet[Document], terms: list[_Term], question: Question
) -> dict[int, float]:
    """Scores of the best chunks by their ids, best first."""
    candidates = chunks.filter(_any_of(terms))
    weights = _weights(candidates, documents, terms)
    scored = candidates.annotate(score=_score(terms, weights, question.text))
    if question.document_id is None:
        place = Window(RowNumber(), partition_by="document", order_by=[F("score").desc(), F("pk").asc()])
        scored = scored.annotate(place=place).filter(place__lte=MAX_PER_DOCUMENT)
    return dict(scored.order_by("-score", "pk").values_list("pk", "score")[: question.limit])


def _any_of(terms: list[_Term]) -> Q:
    found = Q()
    for term in terms:
        found |= Q(search=term.query)
    return found


def _weights(candidates: QuerySet[DocumentChunk], documents: QuerySet[Document], terms: list[_Term]) -> list[float]:
    """For each term its idf times how often the question has it."""
    total = documents.aggregate(total=Sum("chunk_count"))["total"] or 0
    counts = candidates.aggregate(
        **{f"n{index}": Count("pk", filter=Q(search=term.query)) for index, term in enumerate(terms)}
    )
    return [
        term.repeats * math.log(1 + (max(total - count, 0) + 0.5) / (count + 0.5))
        for term, count in zip(terms, (counts[f"n{index}"] for index in range(len(terms))), strict=True)
    ]


def _score(terms: list[_Term], weights: list[float], text: str) -> Combinable:
    score: Combinable = Value(0.0, output_field=FloatField())
    for term, weight in zip(terms, weights, strict=True):
        rank = SearchRank(F("search"), term.query, normalization=BY_LENGTH)
        score = score + rank * Value(weight, output_field=FloatField())
    phrase = _phrase(text)
    if phrase is not None and len(words(text)) > 1:
        bonus = When(search=phrase, then=Value(MAX_TERM_RANK * sum(weights)))
        score = score + Case(bonus, default=Value(0.0), output_field=FloatField())
    return score


def _results(user: User, scores: dict[int, float], terms: list[_Term]) -> list[Result]:
    chunks = DocumentChunk.objects.select_related("document").in_bulk(scores)
    lexemes = [term.lexeme for term in terms]
    return [
        Result(
            document_id=chunk.document.id_for(user),
            filename=chunk.document.filename,
            page=chunk.page,
            chunk_id=str(chunk.pk),
            snippet=snippet(chunk.text, lexemes),
            score=round(score, 6),
        )
        for id, score in scores.items()
        if (chunk := chunks.get(id)) is not None
    ]
