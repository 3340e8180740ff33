"""Statistics that BM25 needs: how many chunks there are, how long they are, and how many have a lexeme.

They are those of one owner's chunks. With statistics over all chunks, scores and their order would show each user
whether a word is in the documents of others.

While the table is small, or the owner has few chunks, everything is counted. Otherwise the shares of frequent lexemes
come from PostgreSQL's own statistics, which cover everybody's chunks: they need no table that every writer would have
to update, and they are exact enough, as an idf is a logarithm. A lexeme that they do not list is rare: it is counted.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property

from django.db import connection

SMALL_BYTES = 8 << 20
"""About five thousand chunks."""
MAX_COUNTED = 20_000
FEW_CHUNKS = 20_000
"""All lexemes of an owner with at most so many chunks are counted."""
MAX_COUNTED_OF_FREQUENT = 1_000
"""A lexeme that so many of the owner's chunks have is not counted further, if everybody's share of it is known."""
MAX_COUNTED_DOCUMENTS = 20_000
"""The chunks of so many documents of an owner are counted. The number of more comes from PostgreSQL's statistics."""
SAMPLED_CHUNKS = 500
"""The average length of an owner's chunks is that of so many."""
MAX_CACHED_OWNERS = 10_000
ASSUMED_LENGTH = 200.0
ASSUMED_WEIGHT = 20
"""The first chunks have no average to be measured against: ASSUMED_LENGTH counts as this many chunks."""
CACHE_SECONDS = 60.0

_STATE = """
SELECT greatest(c.reltuples, 0)::float8,
       s.most_common_elems::text::text[], s.most_common_elem_freqs[:cardinality(s.most_common_elems::text::text[])]
FROM pg_class c LEFT JOIN pg_stats s
  ON s.schemaname = c.relnamespace::regnamespace::text AND s.tablename = c.relname AND s.attname = 'lexemes'
WHERE c.oid = 'document_terms'::regclass
"""
_SIZE = "SELECT pg_relation_size('document_terms')"
_SUM = "SELECT count(*), coalesce(sum(length), 0)::float8 FROM document_terms"
_SAMPLE = "SELECT count(*), coalesce(sum(length), 0)::float8 FROM document_terms TABLESAMPLE SYSTEM (1)"
_OF_OWNER = """
SELECT (
    SELECT coalesce(sum(chunk_count), 0)::float8
    FROM (SELECT chunk_count FROM documents WHERE owner_id = %(owner)s AND generation > 0 LIMIT %(documents)s) d
  ), count(*), coalesce(sum(length), 0)::float8
FROM (
  SELECT t.length FROM documents d
  CROSS JOIN LATERAL (
    SELECT length FROM document_terms WHERE document_id = d.uid AND generation = d.generation
    OFFSET 0
  ) t WHERE d.owner_id = %(owner)s AND d.generation > 0 LIMIT %(sample)s
) sampled
"""
_OF_OWNER_PARAMETERS = {"documents": MAX_COUNTED_DOCUMENTS, "sample": SAMPLED_CHUNKS}
# One plan for all lexemes: to plan each of them takes longer than to count it.
_COUNTED = """
SELECT lexeme, (
  SELECT count(*) FROM (
    SELECT FROM document_terms WHERE lexemes @@ ($$'$$ || lexeme || $$'$$ || %s)::tsquery LIMIT %s
  ) t
) FROM unnest(%s::text[]) AS lexeme
"""
OWNER = "@"
"""The sign of the lexeme that each chunk has for its owner."""


@dataclass(frozen=True)
class Statistics:
    """`average` is the mean length of a chunk in places. `common` maps each frequent lexeme to its share of the chunks.

    If `common` is None, there are no statistics, only counting. `owner` has `total` chunks, and `average` is that of
    these. If it is None, these are everybody's.
    """

    total: float
    average: float
    common: dict[str, float] | None = None
    read_at: float = field(default_factory=time.monotonic)
    owner: int | None = None
    of_everybody: float = 0.0

    @property
    def share_of_owner(self) -> float:
        """The owner's share of all chunks."""
        if self.owner is None:
            return 1.0
        return min(self.total / self.of_everybody, 1.0) if self.of_everybody else 0.0

    def counts(self, lexemes: Collection[str]) -> dict[str, float]:
        """Returns how many chunks have each lexeme, or slightly more."""
        found = {} if self._counts_all else {lexeme: self.estimate(lexeme) for lexeme in lexemes if self._lists(lexeme)}
        return found | self._count([lexeme for lexeme in lexemes if lexeme not in found])

    def rough_counts(self, lexemes: Collection[str]) -> dict[str, float]:
        """Returns the same as `counts`, but counts nothing if statistics suffice."""
        return self.counts(lexemes) if self._counts_all else {lexeme: self.estimate(lexeme) for lexeme in lexemes}

    def estimate(self, lexeme: str) -> float:
        """Returns the number of chunks without counting. A rare lexeme gets the most that a rare one can have."""
        return (self.common or {}).get(lexeme, self._least_common_share) * self.total

    @property
    def _counts_all(self) -> bool:
        return self.common is None or (self.owner is not None and self.total <= FEW_CHUNKS)

    def _lists(self, lexeme: str) -> bool:
        return lexeme in (self.common or {})

    def _count(self, lexemes: Collection[str]) -> dict[str, float]:
        limit = self._max_counted
        found = _count_lexemes(lexemes, limit, self.owner)
        frequent = [lexeme for lexeme, count in found.items() if count >= limit and self._lists(lexeme)]
        return found | {lexeme: max(limit, self.estimate(lexeme)) for lexeme in frequent}

    @property
    def _max_counted(self) -> int:
        if self.common is None:
            return MAX_COUNTED
        most_of_rare = int(2 * self._least_common_share * (self.of_everybody or self.total))
        return max(most_of_rare, MAX_COUNTED_OF_FREQUENT if self._counts_all else 100)

    @cached_property
    def _least_common_share(self) -> float:
        return min(self.common.values(), default=1.0) if self.common else 1.0


_cached: dict[str, Statistics] = {}
_owners: dict[tuple[str, int], tuple[float, float, float]] = {}
"""For owners of many chunks: how many these are, their average length, and when this was read."""


def statistics_of(owner: int | None) -> Statistics:
    """Returns the statistics of the owner's chunks, or of all chunks if there is none."""
    everybody = _of_everybody()
    if owner is None:
        return everybody
    counted, average = _of_owner(owner)
    estimated = (everybody.common or {}).get(f"{OWNER}{owner}", 0.0) * everybody.total
    total = max(counted, estimated) if counted >= MAX_COUNTED_DOCUMENTS else counted
    return replace(everybody, total=total, average=average, owner=owner, of_everybody=everybody.total)


def average_length(owner: int) -> float:
    """Returns the mean length of the owner's chunks in places."""
    _, average = _of_owner(owner)
    return average


def _of_owner(owner: int) -> tuple[float, float]:
    """Returns how many chunks the owner has, and their average length. For owners of many, those of the last minute."""
    key = str(connection.settings_dict["NAME"]), owner
    total, average, read_at = _owners.get(key, (0.0, 0.0, 0.0))
    if average and time.monotonic() - read_at < CACHE_SECONDS:
        return total, average
    with connection.cursor() as cursor:
        cursor.execute(_OF_OWNER, _OF_OWNER_PARAMETERS | {"owner": owner})
        total, count, length = cursor.fetchone()
    average = _mean(count, length)
    if count >= SAMPLED_CHUNKS:
        if len(_owners) >= MAX_CACHED_OWNERS:
            _owners.clear()
        _owners[key] = total, average, time.monotonic()
    return total, average


def _of_everybody() -> Statistics:
    """Returns current numbers while the table is small, later those of the last minute."""
    name = str(connection.settings_dict["NAME"])
    cached = _cached.get(name)
    if cached is not None and time.monotonic() - cached.read_at < CACHE_SECONDS:
        return cached
    with connection.cursor() as cursor:
        cursor.execute(_SIZE)
        (size,) = cursor.fetchone()
        if size < SMALL_BYTES:
            cursor.execute(_SUM)
            count, length = cursor.fetchone()
            return Statistics(float(count), _mean(count, length))
        cursor.execute(_STATE)
        total, lexemes, shares = cursor.fetchone()
    if not lexemes or not total:  # PostgreSQL has not analyzed the table since it grew
        return Statistics(total or size / 1500, _sampled_length())
    _cached[name] = found = Statistics(total, _sampled_length(), dict(zip(lexemes, shares, strict=True)))
    return found


def _sampled_length() -> float:
    with connection.cursor() as cursor:
        cursor.execute(_SAMPLE)
        count, total = cursor.fetchone()
    return _mean(count, total)


def _mean(count: int, total: float) -> float:
    return float(total + ASSUMED_WEIGHT * ASSUMED_LENGTH) / (count + ASSUMED_WEIGHT)


def _count_lexemes(lexemes: Collection[str], limit: int, owner: int | None) -> dict[str, float]:
    if not lexemes:
        return {}
    of_owner = "" if owner is None else f" & '{OWNER}{owner}'"
    with connection.cursor() as cursor:
        cursor.execute(_COUNTED, [of_owner, limit, list(lexemes)])
        return {lexeme: float(count) for lexeme, count in cursor.fetchall()}
