"""The best chunks for a question by BM25, without looking at all that have one of its words.

1. Lists of chunks are chosen, those that cost little for what they may add: of rare words all chunks, of common
   words those of high impact. Whatever is in none of them scores less than a bound.
2. The chunks of these lists are scored. Where the last of the wanted ones reaches the bound, they are the best.
3. Otherwise a second query asks for the chunks whose other words together can still reach it.

Where a user or a filter leaves few chunks, fewer than the lists have, each of them is scored instead.

As MaxScore does it (Turtle and Flood, "Query evaluation: strategies and optimizations", 1995), with two queries
in the place of cursors. The second one may give up chunks that could only just reach the bound.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from documents.search.indexing import AS_WRITTEN, OWNER, by_dimension, vector_text
from documents.search.postings import Weighted, choices, lists_of, second_look
from documents.search.query_parser import Asked, Phrase, Term
from documents.search.scope import Scope
from documents.search.statistics import Statistics, statistics
from documents.text.stems import stems_of_each

DEPTH = 100
"""So many are scored to the end: those with the question as a phrase come first, and vectors are mixed in."""
MAX_PER_DOCUMENT = 3
"""A long document must not fill the answer alone, unless it was asked for."""
PHRASE_BONUS = 1.0
"""Of the whole question standing there, in impacts of each of its words."""
FIRST_LOOK = 6_000
MOST_OF_SCOPE = 20_000
"""Of so few chunks that a user or a filter leaves each is scored, unless the lists of the words are shorter."""
RARE_OWNER = 0.3
"""An owner of a larger share is told by the documents: his list of chunks is too long to be read each time."""
EXPANDED_FROM, MOST_EXPANSIONS = 80, 30
MOST_PAIRS = 8
"""Of a phrase are looked for in the filter of neighbours."""

_SCORED = """
SELECT i.chunk_id, i.document_id, i.generation, i.lexemes, -(i.impacts <#> %(vector)s::sparsevec) AS score
FROM document_terms i WHERE i.lexemes @@ %(query)s::tsquery AND {neighbours}
"""
_SCORED_OF_FEW = """
SELECT i.chunk_id, i.document_id, i.generation, i.lexemes, -(i.impacts <#> %(vector)s::sparsevec) AS score
FROM ({scope}) v JOIN document_terms i ON i.document_id = v.uid AND i.generation = v.generation
WHERE i.impacts <#> %(vector)s::sparsevec < 0 AND {neighbours}
"""
# The place is one of the passage's own filter, which is as long as the passage.
_NEIGHBOURS = "get_bit(i.neighbours, {hash} %% (8 * octet_length(i.neighbours))) = 1"
# The lateral join looks documents up one by one, from the best chunk on, until there are enough.
_BEST = """
SELECT s.chunk_id, s.document_id, s.score, {whole} FROM ({scored}) s
CROSS JOIN LATERAL (
  SELECT FROM ({scope}) v WHERE v.uid = s.document_id AND v.generation = s.generation AND {conditions} OFFSET 0
) d ORDER BY s.score DESC, s.chunk_id LIMIT %(depth)s
"""
_EACH = "SELECT * FROM ({scored}) t ORDER BY score DESC, chunk_id"
_FEW_OF_EACH = """
SELECT * FROM (
  SELECT t.*, row_number() OVER (PARTITION BY document_id, generation ORDER BY score DESC, chunk_id) AS place
  FROM ({scored}) t
) t WHERE place <= %(most)s ORDER BY score DESC, chunk_id
"""
_EXPANSIONS = """
SELECT lexeme, count(*) FROM (
  SELECT lexemes FROM document_terms WHERE lexemes @@ %s::tsquery LIMIT %s
) t, unnest(tsvector_to_array(lexemes)) AS lexeme WHERE lexeme ^@ %s OR lexeme ^@ %s GROUP BY lexeme
ORDER BY count(*) DESC LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Hit:
    chunk_id: int
    document_id: UUID
    score: float


def best_chunks(asked: Asked, scope: Scope, languages: Sequence[str], limit: int) -> list[Hit]:
    """At most DEPTH and at least `limit` hits, where there are so many, best first."""
    if asked.is_empty:
        return []
    known = statistics()
    terms = _weighted(asked, languages, known)
    if not terms:
        return []
    share = 1.0 if scope.owner is None else known.estimate(f"{OWNER}{scope.owner}") / known.total
    look = _Look(asked, scope, terms, max(limit, DEPTH), is_rare_owner=known.common is None or share < RARE_OWNER)
    in_lists = share * sum(term.count for term in terms)
    if scope.chunks <= min(2 * in_lists, MOST_OF_SCOPE):
        return look.ranked(look.rows_of_few())
    if asked.phrases and _rarest_in(asked.phrases, terms) <= FIRST_LOOK:
        return look.ranked(look.rows(""))
    room = FIRST_LOOK / max(share, 0.01) if known.common else math.inf  # few chunks, or nothing known
    for choice in choices(terms, room):
        if scope.chunks <= min(choice.room, in_lists):
            return look.ranked(look.rows_of_few())
        hits = look.ranked(look.rows(choice.query))
        if len(hits) >= limit or asked.phrases:
            break
    lowest = hits[limit - 1].score if len(hits) >= limit else 0.0
    # Others with the phrases may have the bonus too.
    second = second_look(terms, choice, lowest, look.bonus if asked.phrases else 0.0, known.total)
    return hits if second is None else look.ranked(look.rows(second), hits)


def _rarest_in(phrases: Sequence[Phrase], terms: Sequence[Weighted]) -> float:
    """No more chunks than these can have the phrases."""
    lexemes = frozenset().union(*(phrase.lexemes for phrase in phrases))
    return min((term.count for term in terms if lexemes.issuperset(term.term.lexemes)), default=math.inf)


def _weighted(asked: Asked, languages: Sequence[str], known: Statistics) -> list[Weighted]:
    expanded = [_expanded(prefix.text, prefix.query, languages) for prefix in asked.prefixes]
    counts = known.counts({lexeme for term in asked.terms for lexeme in term.lexemes})
    counts |= known.rough_counts({lexeme for term in expanded for lexeme in term.lexemes})
    found = []
    for term in [*asked.terms, *expanded]:
        count = min(sum(counts[lexeme] for lexeme in term.lexemes), known.total)
        weight = term.repeats * known.idf(count)
        found.append(Weighted(term, weight, lists_of(term, weight, count, known)))
    return [term for term in found if term.lists]


def _expanded(prefix: str, query: str, languages: Sequence[str]) -> Term:
    """The stems of the most frequent words that begin so."""
    with connection.cursor() as cursor:
        cursor.execute(_EXPANSIONS, [query, EXPANDED_FROM, prefix, AS_WRITTEN + prefix, MOST_EXPANSIONS])
        found = [lexeme.removeprefix(AS_WRITTEN) for lexeme, _ in cursor.fetchall()]
    each = stems_of_each([(found, language) for language in languages])
    stems = {stem for stems in each for stem in stems.values()}
    return Term(tuple(dict.fromkeys([*found, *sorted(stems)])))


class _Look:
    """The database, asked for the best chunks among those that a tsquery finds."""

    def __init__(
        self, asked: Asked, scope: Scope, terms: Sequence[Weighted], depth: int, *, is_rare_owner: bool
    ) -> None:
        self.asked = asked
        self.scope = scope
        self.depth = depth
        self.is_rare_owner = is_rare_owner
        self.bonus = PHRASE_BONUS * sum(term.weight for term in terms)
        weights = {lexeme: term.weight for term in terms for lexeme in term.term.lexemes}
        self.parameters: dict[str, Any] = {
            "vector": vector_text(by_dimension(weights)),
            "depth": depth,
            "most": MAX_PER_DOCUMENT,
            "whole": asked.whole.exact if asked.whole else None,
        }
        conditions = []
        for number, phrase in enumerate([*asked.phrases, *asked.excluded]):
            self.parameters[f"phrase{number}"] = phrase.exact
            sign = "" if number < len(asked.phrases) else "NOT "
            conditions.append(f"{sign}s.lexemes @@ %(phrase{number})s::tsquery")
        self.conditions = " AND ".join(conditions) or "true"
        self.neighbours = " AND ".join(map(_may_hold, asked.phrases)) or "true"

    def rows(self, candidates: str) -> list[Hit]:
        """Those among the candidates; "" is all chunks that have what must be there."""
        required = [candidates] if candidates else []
        required += [prefix.query for prefix in self.asked.prefixes]
        required += [phrase.words for phrase in self.asked.phrases]
        if self.scope.owner is not None and self.is_rare_owner:
            required.append(f"'{OWNER}{self.scope.owner}'")
        return self._best(_SCORED.format(neighbours=self.neighbours), query=" & ".join(required))

    def rows_of_few(self) -> list[Hit]:
        """Among all chunks of the scope's documents."""
        scored = _SCORED_OF_FEW.format(scope=self._scope("few"), neighbours=self.neighbours)
        required = [prefix.query for prefix in self.asked.prefixes] + [phrase.words for phrase in self.asked.phrases]
        if required:
            scored += " AND i.lexemes @@ %(query)s::tsquery"
        return self._best(scored, query=" & ".join(required))

    def ranked(self, found: Sequence[Hit], earlier: Sequence[Hit] = ()) -> list[Hit]:
        hits = {hit.chunk_id: hit for hit in [*earlier, *found]}.values()
        return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))[: self.depth]

    def _best(self, scored: str, query: str) -> list[Hit]:
        found = self._run(_EACH.format(scored=scored), query)
        if self.scope.is_one_document:
            return found
        hits = few_of_each(found)
        if len(found) < self.depth or len(hits) >= self.depth // 2:
            return hits
        return self._run(_FEW_OF_EACH.format(scored=scored), query)

    def _run(self, scored: str, query: str) -> list[Hit]:
        whole = "s.lexemes @@ %(whole)s::tsquery" if self.asked.whole else "false"
        sql = _BEST.format(scored=scored, scope=self._scope("scope"), whole=whole, conditions=self.conditions)
        with connection.cursor() as cursor:
            cursor.execute(sql, {**self.parameters, "query": query})
            rows = cursor.fetchall()
        hits = [Hit(chunk, document, score + self.bonus * is_whole) for chunk, document, score, is_whole in rows]
        return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))

    def _scope(self, name: str) -> str:
        """The scope's SQL, with its parameters under names."""
        names = [f"{name}{number}" for number in range(len(self.scope.parameters))]
        self.parameters.update(zip(names, self.scope.parameters, strict=True))
        return self.scope.sql % tuple(f"%({each})s" for each in names)


def _may_hold(phrase: Phrase) -> str:
    """What is true of all rows with the phrase, and of few others, without a look at the places of their lexemes."""
    if not phrase.neighbours or () in phrase.neighbours:
        return "true"
    chains = [
        " AND ".join(_NEIGHBOURS.format(hash=hash) for hash in sorted(set(hashes))[:MOST_PAIRS])
        for hashes in sorted(phrase.neighbours)
    ]
    return "(" + " OR ".join(f"({chain})" for chain in chains) + ")"


def few_of_each(hits: Iterable[Hit]) -> list[Hit]:
    """At most MAX_PER_DOCUMENT of a document."""
    seen: dict[UUID, int] = {}
    kept = []
    for hit in hits:
        seen[hit.document_id] = seen.get(hit.document_id, 0) + 1
        if seen[hit.document_id] <= MAX_PER_DOCUMENT:
            kept.append(hit)
    return kept
