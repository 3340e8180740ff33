"""The best chunks for a question by BM25, without looking at all that have one of its words.

1. Lists of chunks are chosen, those that cost little for what they may add: of rare words all chunks, of common
   words those of high impact. Whatever is in none of them scores less than a bound.
2. The chunks of these lists are scored. Where the last of the wanted ones reaches the bound, they are the best.
3. Otherwise a second query asks for the chunks whose other words together can still reach it.

As MaxScore does it (Turtle and Flood, "Query evaluation: strategies and optimizations", 1995), with two queries
in the place of cursors. The second one may give up chunks that could only just reach the bound.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection

from documents.indexing import AS_WRITTEN, HIGHEST, LEVELS, OWNER, by_dimension, vector_text
from documents.questions import Asked, Phrase, Term
from documents.scope import Scope
from documents.statistics import Statistics, statistics
from documents.stems import stems_of_each

DEPTH = 100
"""So many are scored to the end: those with the question as a phrase come first, and vectors are mixed in."""
MAX_PER_DOCUMENT = 3
"""A long document must not fill the answer alone, unless it was asked for."""
PHRASE_BONUS = 1.0
"""Of the whole question standing there, in impacts of each of its words."""
FIRST_LOOK = 6_000
SECOND_LOOK = 20_000
LOOKED_AT_TOGETHER, SORTED_BY_IMPACT = 8, 4
RARE_OWNER = 0.3
"""An owner of a larger share is told by the documents: his list of chunks is too long to be read each time."""
EXPANDED_FROM, MOST_EXPANSIONS = 80, 30
FEWER = 1.1
TOLERANCE, MOST_TOLERANCE = 0.1, 0.5
"""For each word from the third on whose chunks were not all looked at: no chunk is among the best for all of many
words. See the threshold factor of Broder et al., "Efficient query evaluation using a two-level retrieval process"
(2003)."""
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


@dataclass(frozen=True)
class Weighted:
    """A term with its weight, and the lists by which its chunks are found, the shortest first."""

    term: Term
    weight: float
    lists: list["Postings"] = field(default_factory=list)

    @property
    def query(self) -> str:
        return _any(f"'{lexeme}'" for lexeme in self.term.lexemes)

    @property
    def count(self) -> float:
        return max(postings.count for postings in self.lists)


@dataclass(frozen=True)
class Postings:
    """Chunks with a term. Where they are looked at, others reach no more than `rest` by it."""

    query: str
    count: float
    rest: float


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
    if scope.is_narrow:
        return look.ranked(look.rows_of_few())
    if asked.phrases and _rarest_in(asked.phrases, terms) <= FIRST_LOOK:
        return look.ranked(look.rows(""))
    chosen, rest = _first_lists(terms, known, share)
    hits = look.ranked(look.rows(_any(chosen)))
    needed = hits[limit - 1].score * _tolerated(rest) if len(hits) >= limit else 0.0
    if asked.phrases:  # others with them may have the bonus too, and each is an answer
        is_enough = len(hits) >= limit and needed - look.bonus >= sum(rest)
        return hits if is_enough else look.ranked(look.rows(""))
    if needed >= sum(rest):
        return hits
    second = _reaching(terms, chosen, needed, known.total)
    return look.ranked(look.rows(second), hits) if second else hits


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
        found.append(Weighted(term, weight, _lists(term, weight, count, known)))
    return [term for term in found if term.lists]


def _expanded(prefix: str, query: str, languages: Sequence[str]) -> Term:
    """The stems of the most frequent words that begin so."""
    with connection.cursor() as cursor:
        cursor.execute(_EXPANSIONS, [query, EXPANDED_FROM, prefix, AS_WRITTEN + prefix, MOST_EXPANSIONS])
        found = [lexeme.removeprefix(AS_WRITTEN) for lexeme, _ in cursor.fetchall()]
    each = stems_of_each([(found, language) for language in languages])
    stems = {stem for stems in each for stem in stems.values()}
    return Term(tuple(dict.fromkeys([*found, *sorted(stems)])))


def _lists(term: Term, weight: float, count: float, known: Statistics) -> list[Postings]:
    if not count:
        return []
    lists = [Postings(_any(f"'{lexeme}'" for lexeme in term.lexemes), count, 0.0)]
    for sign, level in LEVELS.items():
        signed = [sign + lexeme for lexeme in term.lexemes]
        high = sum(known.estimate(lexeme) for lexeme in signed)
        if known.common and high < count / 2:
            lists.append(Postings(_any(f"'{lexeme}'" for lexeme in signed), high, weight * level))
    return sorted(lists, key=lambda postings: -postings.rest)


def _first_lists(terms: Sequence[Weighted], known: Statistics, share: float) -> tuple[list[str], list[float]]:
    """The lists to look at, and what a chunk in none of them may reach by each term at the most."""
    room: float = FIRST_LOOK / max(share, 0.01)
    if known.common is None:
        room = known.total  # few chunks, or nothing known
    chosen: dict[int, Postings] = {}
    rest = {place: term.weight * HIGHEST for place, term in enumerate(terms)}
    while True:
        options = [
            ((rest[place] - postings.rest) / max(postings.count - _count(chosen.get(place)), 1.0), place, postings)
            for place, term in enumerate(terms)
            for postings in term.lists
            if postings.rest < rest[place]
        ]
        options = [option for option in options if _added(option, chosen) <= room or not chosen]
        if not options:
            break
        _, place, postings = max(options, key=lambda option: option[0])
        room -= _added((0.0, place, postings), chosen)
        chosen[place], rest[place] = postings, postings.rest
    return [postings.query for postings in chosen.values()], list(rest.values())


def _tolerated(rest: Sequence[float]) -> float:
    """How much higher than needed a chunk must be able to score to be worth a look."""
    left = sum(1 for bound in rest if bound)
    return 1 + min(TOLERANCE * max(left - 2, 0), MOST_TOLERANCE)


def _count(postings: Postings | None) -> float:
    return postings.count if postings else 0.0


def _added(option: tuple[float, int, Postings], chosen: dict[int, Postings]) -> float:
    _, place, postings = option
    return postings.count - _count(chosen.get(place))


@dataclass(frozen=True, slots=True)
class _List:
    """The chunks of a list that are in none of the same term's shorter lists reach no more than `bound` by the term."""

    query: str
    share: float
    bound: float


_Open = list[_List]
"""Of a term whose chunks were not all looked at, the lists with others: the shortest first, each within the next."""


def _reaching(terms: Sequence[Weighted], chosen: Sequence[str], needed: float, total: float) -> str:
    """A tsquery for the chunks that can reach the score by terms whose chunks were not all looked at."""
    left = [lists for term in terms if (lists := _open(term, chosen, max(total, 1)))]
    left.sort(key=lambda lists: -lists[0].bound)
    if len(left) > SORTED_BY_IMPACT:
        left = [[_List(lists[-1].query, lists[-1].share, lists[0].bound)] for lists in left]
    together, others = left[:LOOKED_AT_TOGETHER], left[LOOKED_AT_TOGETHER:]
    needed -= sum(lists[0].bound for lists in others)
    if needed <= 0:
        return _any(lists[-1].query for lists in left)
    while found := _formula(together, needed):
        query, share = found
        if share * total <= SECOND_LOOK:
            return query
        needed *= FEWER
    return ""


def _open(term: Weighted, chosen: Sequence[str], total: float) -> _Open:
    looked_at = [place for place, postings in enumerate(term.lists) if postings.query in chosen]
    bounds = [term.weight * HIGHEST, *(postings.rest for postings in term.lists)]
    lists = [
        _List(postings.query, postings.count / total, bound)
        for postings, bound in zip(term.lists, bounds, strict=False)
    ]
    return lists[max(looked_at, default=-1) + 1 :]


def _formula(terms: Sequence[_Open], needed: float) -> tuple[str, float] | None:
    """Which of the terms must be there, with which impact, to add up to what is needed; and the share that has them.

    "" is all chunks, None is no chunk.
    """
    if needed <= 0:
        return "", 1.0
    if sum(lists[0].bound for lists in terms) < needed:
        return None
    (lists, *others) = terms
    wider = _formula(others, needed)
    parts = [wider[0]] if wider else []
    share = (1 - lists[-1].share) * wider[1] if wider else 0.0
    shares = [0.0, *(each.share for each in lists)]
    for shorter, each in zip(reversed(shares[:-1]), reversed(lists), strict=True):
        rest = _formula(others, needed - each.bound)
        if not rest:
            continue
        share += max(each.share - shorter, 0.0) * rest[1]
        if rest != wider:  # otherwise the chunks are among those of the longer list
            parts.append(f"({each.query} & {rest[0]})" if rest[0] else each.query)
        wider = rest
    return _any(reversed(parts)), share


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


def _any(queries: Iterable[str]) -> str:
    found = list(dict.fromkeys(queries))
    return found[0] if len(found) == 1 else f"({' | '.join(found)})"
