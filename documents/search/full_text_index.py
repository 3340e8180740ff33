"""The full-text index of a chunk: a row of lexemes and BM25 impacts, written in the chunk's own transaction.

The impact of a lexeme (see `bm25`) is stored in a sparse vector, at a dimension that is a hash of the lexeme. So a
score is one inner product, which pgvector computes, and no vocabulary is stored. See `docs/search.md`.

The neighbors filter, one byte for each place, records which lexemes are neighbors (a Bloom filter, 1970). It rules
out most chunks without a phrase, so the places of their lexemes, which are stored elsewhere, need not be read.

The tsvector has the stems (and pairs of characters) with their places, and also:
- other forms of words at the same place, such as `ppr9087` for PPR-9087 and `c++` (see `documents.text.forms`);
- `=word` at the same place, if a word is not its own stem: prefixes are looked up in these;
- `^stem` and `^^stem`, if the impact is high: the best chunks for a common word are found by these;
- `@owner`, because most questions are about the user's own documents.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice, pairwise, product
from typing import NamedTuple
from uuid import UUID
from zlib import crc32

from django.db import connection

from documents.search.bm25 import impact, length_factor
from documents.search.term_statistics import OWNER, average_length
from documents.text.stems import MAX_KNOWN, stems_of
from documents.text.words import Cut, cut, is_paired, pairs

DIMENSIONS = 1_000_000_000
LEVELS = {"^": 1.6, "^^": 2.0}
"""The signs of high impacts, each with the lowest impact that gets it."""
AS_WRITTEN = "="
MAX_IMPACTS = 16_000
"""pgvector's limit for a sparse vector."""

ChunkTexts = Sequence[tuple[int, str]]
"""The ids of chunks, each with its text."""

_COPY = (
    "COPY document_terms (chunk_id, document_id, generation, length, average, impacts, neighbours, lexemes) FROM STDIN"
)


def write_terms(document: UUID, owner: int, generation: int, language: str, chunks: ChunkTexts) -> None:
    """Indexes chunks for full-text search. Call it in the transaction that writes the chunks."""
    each = [(id, cut(text)) for id, text in chunks]
    stems = stems_of(set().union(*(spaced_words(found) for _, found in each)), language)
    average = average_length(owner)
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for id, found in each:
            places, sequence, forms = lexemes_of(found, stems)
            impacts = impacts_of(places, len(sequence), average)
            vector, text = vector_text(by_dimension(impacts)), tsvector_text(places, impacts, owner)
            copy.write_row(
                (id, document, generation, len(sequence), average, vector, neighbors_filter(sequence, forms), text)
            )


def spaced_words(found: Cut) -> set[str]:
    """Returns the words that have a stem, and other forms of them."""
    forms = {form.text for forms in found.forms.values() for form in forms}
    return forms | {word for word in found.words if not is_paired(word)}


class ChunkLexemes(NamedTuple):
    """The places of each lexeme, counted from 1, and at each place its stem or pair of characters, and other forms."""

    places: dict[str, list[int]]
    sequence: list[str]
    forms: dict[int, list[str]]


def lexemes_of(found: Cut, stems: Mapping[str, str]) -> ChunkLexemes:
    places: dict[str, list[int]] = defaultdict(list)
    sequence: list[str] = []
    forms: dict[int, list[str]] = {}
    for number, word in enumerate(found.words):
        if number in found.forms:
            forms[len(sequence) + 1] = [stems.get(form.text, form.text) for form in found.forms[number]]
        stem = stems.get(word)
        if stem is None:
            sequence += pairs(word)
            continue
        sequence.append(stem)
        if stem != word:
            places[AS_WRITTEN + word].append(len(sequence))
    for place, lexeme in enumerate(sequence, start=1):
        places[lexeme].append(place)
    for place, others in forms.items():
        for lexeme in others:
            places[lexeme].append(place)
    return ChunkLexemes(places, sequence, forms)


def neighbors_filter(sequence: Sequence[str], forms: Mapping[int, Sequence[str]]) -> bytes:
    """Returns the Bloom filter. Each two lexemes at successive places set the bit `neighbors_hash` modulo its size."""
    size = max(len(sequence), 1)
    digits = bytearray(b"0") * (8 * size)  # the digits of one binary number: faster than to set single bits
    for first, second in pairwise(map(dimension_of, sequence)):
        digits[-1 - _hash(first, second) % len(digits)] = ord("1")
    for lexeme, other in _neighbors_of_forms(sequence, forms):
        digits[-1 - neighbors_hash(lexeme, other) % len(digits)] = ord("1")
    return int(digits, 2).to_bytes(size, "little")


def _neighbors_of_forms(sequence: Sequence[str], forms: Mapping[int, Sequence[str]]) -> Iterator[tuple[str, str]]:
    for place, others in forms.items():
        before = [*forms.get(place - 1, ()), *sequence[max(place - 2, 0) : place - 1]]
        yield from product(before, others)
        yield from product(others, sequence[place : place + 1])


def neighbors_hash(first: str, second: str) -> int:
    return _hash(dimension_of(first), dimension_of(second))


def _hash(first: int, second: int) -> int:
    return 31 * first + second


def impacts_of(places: Mapping[str, Sequence[int]], length: int, average: float) -> dict[str, float]:
    """Returns the BM25 impact of each lexeme in a chunk of `length` places."""
    factor = length_factor(length, average)
    counts = {lexeme: len(found) for lexeme, found in places.items() if lexeme[0] != AS_WRITTEN}
    impacts = {count: impact(count, factor) for count in set(counts.values())}
    return {lexeme: impacts[count] for lexeme, count in counts.items()}


@lru_cache(MAX_KNOWN)
def dimension_of(lexeme: str) -> int:
    return crc32(lexeme.encode()) % DIMENSIONS + 1


def by_dimension(values: Mapping[str, float]) -> dict[int, float]:
    return {dimension_of(lexeme): value for lexeme, value in values.items()}


def vector_text(values: Mapping[int, float]) -> str:
    """Returns a sparse vector in pgvector's notation."""
    shown = {value: f"{value:.4g}" for value in set(values.values())}
    kept = islice(values.items(), MAX_IMPACTS)
    return "{" + ",".join([f"{place}:{shown[value]}" for place, value in kept]) + f"}}/{DIMENSIONS}"


def tsvector_text(places: Mapping[str, Sequence[int]], impacts: Mapping[str, float], owner: int) -> str:
    """Returns the tsvector in PostgreSQL's notation. Lexemes have no apostrophes, so they need no escaping."""
    parts = [f"'{lexeme}':{','.join(map(str, found))}" for lexeme, found in places.items()]
    for sign, level in LEVELS.items():
        parts += [f"'{sign}{lexeme}'" for lexeme, value in impacts.items() if value >= level]
    return f"'{OWNER}{owner}' " + " ".join(parts)
