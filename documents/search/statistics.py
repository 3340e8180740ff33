"""How many chunks there are, how long they are, and how many of them have a lexeme.

While the table is small everything is counted. Then PostgreSQL's own statistics tell: they need no table that
every writer would update, and an idf is a logarithm. What they do not list is rare, and counted.
"""

import math
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

from django.db import connection

SMALL_BYTES = 8 << 20
"""Some five thousand chunks."""
MOST_COUNTED = 20_000
USUAL_LENGTH = 200.0
USUAL_WEIGHT = 20
"""A guess of the average length, and how many chunks it counts for: there is none to measure at the start."""
KEPT_SECONDS = 60.0

_STATE = """
SELECT greatest(c.reltuples, 0)::float8,
       s.most_common_elems::text::text[], s.most_common_elem_freqs[:cardinality(s.most_common_elems::text::text[])]
FROM pg_class c LEFT JOIN pg_stats s
  ON s.schemaname = c.relnamespace::regnamespace::text AND s.tablename = c.relname AND s.attname = 'lexemes'
WHERE c.oid = 'document_terms'::regclass
"""
_SIZE = "SELECT pg_relation_size('document_terms')"
_COUNT = "SELECT count(*) FROM document_terms"
_SUM = "SELECT count(*), coalesce(sum(length), 0)::float8 FROM document_terms"
_SAMPLE = "SELECT count(*), coalesce(sum(length), 0)::float8 FROM document_terms TABLESAMPLE SYSTEM (1)"
# Planned once for all lexemes: a plan for each takes longer than its counting.
_COUNTED = """
SELECT lexeme, (
  SELECT count(*) FROM (
    SELECT FROM document_terms WHERE lexemes @@ ($$'$$ || lexeme || $$'$$)::tsquery LIMIT %s
  ) t
) FROM unnest(%s::text[]) AS lexeme
"""


@dataclass(frozen=True)
class Statistics:
    """`common` has the share of chunks of each frequent lexeme; None: nothing is known but by counting."""

    total: float
    common: dict[str, float] | None = None
    read_at: float = field(default_factory=time.monotonic)

    def counts(self, lexemes: Collection[str]) -> dict[str, float]:
        """In how many chunks each of them stands, or a bit more."""
        common = self.common or {}
        found = {lexeme: common[lexeme] * self.total for lexeme in lexemes if lexeme in common}
        rare = [lexeme for lexeme in lexemes if lexeme not in found]
        return found | _counted(rare, self._most_counted)

    def rough_counts(self, lexemes: Collection[str]) -> dict[str, float]:
        """The same, and nothing is counted where there are statistics."""
        return self.counts(lexemes) if self.common is None else {lexeme: self.estimate(lexeme) for lexeme in lexemes}

    def estimate(self, lexeme: str) -> float:
        """The same without counting: for a rare one, what the most frequent of the rare would have."""
        return (self.common or {}).get(lexeme, self._floor) * self.total

    @property
    def _most_counted(self) -> int:
        return MOST_COUNTED if self.common is None else max(int(2 * self._floor * self.total), 100)

    @cached_property
    def _floor(self) -> float:
        return min(self.common.values(), default=1.0) if self.common else 1.0

    def idf(self, count: float) -> float:
        """The BM25 one, which is never negative."""
        return math.log(1 + (max(self.total - count, 0) + 0.5) / (count + 0.5))


_kept: dict[str, Statistics] = {}
_average: tuple[float, float] = (0.0, 0.0)


def statistics() -> Statistics:
    """As they are, while the table is small; otherwise as they were within the last minute."""
    name = str(connection.settings_dict["NAME"])
    kept = _kept.get(name)
    if kept is not None and time.monotonic() - kept.read_at < KEPT_SECONDS:
        return kept
    with connection.cursor() as cursor:
        cursor.execute(_SIZE)
        (size,) = cursor.fetchone()
        if size < SMALL_BYTES:
            cursor.execute(_COUNT)
            return Statistics(float(cursor.fetchone()[0]))
        cursor.execute(_STATE)
        total, lexemes, shares = cursor.fetchone()
    if not lexemes or not total:  # PostgreSQL has not looked at the table since it grew
        return Statistics(total or size / 1500)
    _kept[name] = found = Statistics(total, dict(zip(lexemes, shares, strict=True)))
    return found


def average_length() -> float:
    """Places in a chunk. Exact while the table is small, otherwise of a sample within the last minute."""
    global _average
    value, read_at = _average
    if value and time.monotonic() - read_at < KEPT_SECONDS:
        return value
    with connection.cursor() as cursor:
        cursor.execute(_SIZE)
        (size,) = cursor.fetchone()
        cursor.execute(_SUM if size < SMALL_BYTES else _SAMPLE)
        count, total = cursor.fetchone()
    value = (total + USUAL_WEIGHT * USUAL_LENGTH) / (count + USUAL_WEIGHT)
    if size >= SMALL_BYTES:
        _average = value, time.monotonic()
    return float(value)


def _counted(lexemes: Collection[str], limit: int) -> dict[str, float]:
    if not lexemes:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_COUNTED, [limit, list(lexemes)])
        return {lexeme: float(count) for lexeme, count in cursor.fetchall()}
