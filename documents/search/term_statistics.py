"""Statistics that BM25 needs: how many chunks there are, how long they are, and how many have a lexeme.

While the table is small, everything is counted. Later the numbers come from PostgreSQL's own statistics: they need
no table that every writer would have to update, and they are exact enough, as an idf is a logarithm. A lexeme that
they do not list is rare, so it is counted.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

from django.db import connection

SMALL_BYTES = 8 << 20
"""About five thousand chunks."""
MAX_COUNTED = 20_000
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
# One plan for all lexemes: to plan each of them takes longer than to count it.
_COUNTED = """
SELECT lexeme, (
  SELECT count(*) FROM (
    SELECT FROM document_terms WHERE lexemes @@ ($$'$$ || lexeme || $$'$$)::tsquery LIMIT %s
  ) t
) FROM unnest(%s::text[]) AS lexeme
"""


@dataclass(frozen=True)
class Statistics:
    """`average` is the mean length of a chunk in places. `common` maps each frequent lexeme to its share of the chunks.

    If `common` is None, there are no statistics, only counting.
    """

    total: float
    average: float
    common: dict[str, float] | None = None
    read_at: float = field(default_factory=time.monotonic)

    def counts(self, lexemes: Collection[str]) -> dict[str, float]:
        """Returns how many chunks have each lexeme, or slightly more."""
        common = self.common or {}
        found = {lexeme: common[lexeme] * self.total for lexeme in lexemes if lexeme in common}
        rare = [lexeme for lexeme in lexemes if lexeme not in found]
        return found | _count_lexemes(rare, self._max_counted)

    def rough_counts(self, lexemes: Collection[str]) -> dict[str, float]:
        """Returns the same as `counts`, but counts nothing if there are statistics."""
        return self.counts(lexemes) if self.common is None else {lexeme: self.estimate(lexeme) for lexeme in lexemes}

    def estimate(self, lexeme: str) -> float:
        """Returns the number of chunks without counting. A rare lexeme gets the most that a rare one can have."""
        return (self.common or {}).get(lexeme, self._least_common_share) * self.total

    @property
    def _max_counted(self) -> int:
        return MAX_COUNTED if self.common is None else max(int(2 * self._least_common_share * self.total), 100)

    @cached_property
    def _least_common_share(self) -> float:
        return min(self.common.values(), default=1.0) if self.common else 1.0


_cached: dict[str, Statistics] = {}
_average: tuple[float, float] = (0.0, 0.0)


def statistics() -> Statistics:
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
        return Statistics(total or size / 1500, average_length())
    _cached[name] = found = Statistics(total, average_length(), dict(zip(lexemes, shares, strict=True)))
    return found


def average_length() -> float:
    """Returns the mean length of a chunk in places: exact while the table is small, later from a recent sample."""
    global _average
    value, read_at = _average
    if value and time.monotonic() - read_at < CACHE_SECONDS:
        return value
    with connection.cursor() as cursor:
        cursor.execute(_SIZE)
        (size,) = cursor.fetchone()
        cursor.execute(_SUM if size < SMALL_BYTES else _SAMPLE)
        count, total = cursor.fetchone()
    value = _mean(count, total)
    if size >= SMALL_BYTES:
        _average = value, time.monotonic()
    return value


def _mean(count: int, total: float) -> float:
    return float(total + ASSUMED_WEIGHT * ASSUMED_LENGTH) / (count + ASSUMED_WEIGHT)


def _count_lexemes(lexemes: Collection[str], limit: int) -> dict[str, float]:
    if not lexemes:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_COUNTED, [limit, list(lexemes)])
        return {lexeme: float(count) for lexeme, count in cursor.fetchall()}
