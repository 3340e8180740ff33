"""What search reads of a chunk: a row of lexemes and of impacts, written in the transaction of the chunk.

The impact of a lexeme is the part of its BM25 score that does not depend on the question. It stands in a sparse
vector at a place made from the lexeme, so that a score is one inner product, computed by pgvector, and no
vocabulary is kept. See Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009), and
`docs/search.md`.

Which lexemes are neighbours stands in a filter of a byte a place (Bloom, 1970). By it most passages without a phrase
are told, and the places of their lexemes, which lie elsewhere, need not be read.

Lexemes, beside the stems (and pairs of characters) with their places:
- `=word` for a word that is not its own stem, at the same place: prefixes are looked up in them;
- `^stem` and `^^stem` where the impact is high: the best chunks for a common word are found by them;
- `@owner`, for a question is mostly about one's own documents.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice, pairwise
from uuid import UUID
from zlib import crc32

from django.db import connection

from documents.search.statistics import average_length
from documents.text.stems import MAX_KNOWN, stems_of
from documents.text.words import is_paired, pairs

DIMENSIONS = 1_000_000_000
K1 = 1.5
B = 0.75
LEVELS = {"^": 1.6, "^^": 2.0}
HIGHEST = K1 + 1
"""No impact reaches it."""
AS_WRITTEN = "="
OWNER = "@"
MAX_IMPACTS = 16_000
"""As many as pgvector takes."""

Chunks = Sequence[tuple[int, list[str]]]

_COPY = "COPY document_terms (chunk_id, document_id, generation, length, impacts, neighbours, lexemes) FROM STDIN"


def write_terms(document: UUID, owner: int, generation: int, language: str, chunks: Chunks) -> None:
    """To be called in the transaction that writes the chunks: their ids and words."""
    every = set().union(*(found for _, found in chunks))
    spaced = {word for word in every if not is_paired(word)}
    stems = stems_of(spaced, language)
    average = average_length()
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for id, found in chunks:
            places, sequence = lexemes_of(found, stems)
            impacts = impacts_of(places, len(sequence), average)
            vector, text = vector_text(by_dimension(impacts)), _tsvector_text(places, impacts, owner)
            copy.write_row((id, document, generation, len(sequence), vector, neighbours_of(sequence), text))


def lexemes_of(found: Iterable[str], stems: Mapping[str, str]) -> tuple[dict[str, list[int]], list[str]]:
    """The places of each lexeme, from 1 on, and the stem or pair of characters of each place."""
    places: dict[str, list[int]] = defaultdict(list)
    sequence: list[str] = []
    for word in found:
        stem = stems.get(word)
        if stem is None:
            sequence += pairs(word)
            continue
        sequence.append(stem)
        if stem != word:
            places[AS_WRITTEN + word].append(len(sequence))
    for place, lexeme in enumerate(sequence, start=1):
        places[lexeme].append(place)
    return places, sequence


def neighbours_of(sequence: Sequence[str]) -> bytes:
    """The filter: for each two lexemes at successive places the bit at `neighbours_hash` modulo its bits."""
    size = max(len(sequence), 1)
    digits = bytearray(b"0") * (8 * size)  # of one binary number: faster than bits by themselves
    for first, second in pairwise(map(dimension_of, sequence)):
        digits[-1 - _hash(first, second) % len(digits)] = ord("1")
    return int(digits, 2).to_bytes(size, "little")


def neighbours_hash(first: str, second: str) -> int:
    return _hash(dimension_of(first), dimension_of(second))


def _hash(first: int, second: int) -> int:
    return 31 * first + second


def impacts_of(places: Mapping[str, Sequence[int]], length: int, average: float) -> dict[str, float]:
    """tf · (k1 + 1) / (tf + k1 · (1 - b + b · length / average)) for each lexeme."""
    weight = K1 * (1 - B + B * length / average)
    counts = {lexeme: len(found) for lexeme, found in places.items() if lexeme[0] != AS_WRITTEN}
    impacts = {count: count * (K1 + 1) / (count + weight) for count in set(counts.values())}
    return {lexeme: impacts[count] for lexeme, count in counts.items()}


@lru_cache(MAX_KNOWN)
def dimension_of(lexeme: str) -> int:
    return crc32(lexeme.encode()) % DIMENSIONS + 1


def by_dimension(values: Mapping[str, float]) -> dict[int, float]:
    return {dimension_of(lexeme): value for lexeme, value in values.items()}


def vector_text(values: Mapping[int, float]) -> str:
    """As pgvector reads a sparse vector."""
    shown = {value: f"{value:.4g}" for value in set(values.values())}
    kept = islice(values.items(), MAX_IMPACTS)
    return "{" + ",".join([f"{place}:{shown[value]}" for place, value in kept]) + f"}}/{DIMENSIONS}"


def _tsvector_text(places: Mapping[str, Sequence[int]], impacts: Mapping[str, float], owner: int) -> str:
    """As PostgreSQL reads a tsvector. Lexemes are letters, digits and our own signs, so the quotes hold."""
    parts = [f"'{lexeme}':{','.join(map(str, found))}" for lexeme, found in places.items()]
    for sign, level in LEVELS.items():
        parts += [f"'{sign}{lexeme}'" for lexeme, impact in impacts.items() if impact >= level]
    return f"'{OWNER}{owner}' " + " ".join(parts)
