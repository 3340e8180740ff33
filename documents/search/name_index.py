"""The index of names: a row for each document with the words of its file name, its title and its tags.

A chunk of a document whose name has a word of the question scores as if the word occurred in it once more. Names have
their own index, because tags change without the text being indexed again.
"""

from collections.abc import Iterator
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from documents.models import Document
from documents.search.full_text_index import (
    AS_WRITTEN,
    by_dimension,
    lexemes_of,
    spaced_words,
    tsvector_text,
    vector_text,
)
from documents.text.stems import stems_of
from documents.text.words import cut

NAME_IMPACT = 1.2
"""The impact of a word of a name. A word that occurs once in a chunk of average length has about 1."""
BATCH = 500

# Sorted by the documents' ids: two jobs that write the same names could deadlock otherwise.
_WRITE = """
INSERT INTO document_names (document_id, impacts, lexemes)
SELECT * FROM unnest(%s::uuid[], %s::sparsevec[], %s::tsvector[]) ON CONFLICT (document_id)
DO UPDATE SET impacts = excluded.impacts, lexemes = excluded.lexemes
"""


def write_names(documents: QuerySet[Document]) -> None:
    """Indexes the names of those of the documents that are indexed. Call it in the transaction that changes them."""
    fields = ("pk", "owner_id", "language", "filename", "metadata__title", "tags")
    rows = documents.filter(generation__gt=0).order_by("pk").values_list(*fields)
    indexed = [_index_row(*row) for row in rows]
    for start in range(0, len(indexed), BATCH):
        batch = indexed[start : start + BATCH]
        with connection.cursor() as cursor:
            cursor.execute(_WRITE, [list(column) for column in zip(*batch, strict=True)])


def _index_row(pk: Any, owner: int, language: str, filename: str, title: Any, tags: list[str]) -> tuple[Any, str, str]:
    places: dict[str, list[int]] = {}
    end = 1
    parts = [cut(part) for part in _parts(filename, title, tags)]
    stems = stems_of(set().union(*map(spaced_words, parts)), language)
    for found in parts:
        in_part, sequence, _ = lexemes_of(found, stems)
        for lexeme, at in in_part.items():
            places.setdefault(lexeme, []).extend(end + place for place in at)
        end += len(sequence) + 1  # a gap: no phrase continues from one part to the next
    impacts = {lexeme: NAME_IMPACT for lexeme in places if lexeme[0] != AS_WRITTEN}
    return pk, vector_text(by_dimension(impacts)), tsvector_text(places, {}, owner)


def _parts(filename: str, title: Any, tags: list[str]) -> Iterator[str]:
    yield filename
    if isinstance(title, str):
        yield title
    yield from tags
