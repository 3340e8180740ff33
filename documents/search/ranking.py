"""The best chunks for a question by BM25, without scoring all that have one of its words.

The documents whose names (see `name_index`) have a word of the question are looked up separately. The words of their
names count for each of their chunks.

1. Choose the posting lists that cost little for what they can add: all chunks of rare words, chunks of high impact
   of common words. A chunk outside these lists scores less than a known bound.
2. Score the chunks of these lists. If the last wanted hit reaches the bound, these are the best.
3. Otherwise a second query scores the chunks whose other words together can still reach that hit's score.

If the user's documents and the filters leave fewer chunks than the lists have, every one of them is scored instead.

This is MaxScore (Turtle and Flood, "Query evaluation: strategies and optimizations", 1995) with two queries instead
of cursors. The second query may give up chunks that could only just reach the score.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from documents.search.bm25 import CORRECTION, idf
from documents.search.full_text_index import AS_WRITTEN, by_dimension, vector_text
from documents.search.posting_lists import WeightedTerm, any_of, list_choices, lists_of, second_query
from documents.search.query_parser import ParsedQuery, Phrase, Term
from documents.search.scope import Scope
from documents.search.term_statistics import OWNER, Statistics, statistics_of
from documents.text.stems import stems_of_each

DEPTH = 100
"""How many hits are ranked: hits with the question as a phrase move up among them, and vectors are mixed in."""
MAX_PER_DOCUMENT = 3
"""A long document must not fill the results alone, unless the question names it."""
PHRASE_BONUS = 1.0
"""What the question as a phrase is worth, in impacts of each of its words."""
FIRST_BUDGET = 6_000
"""How many chunks the first query scores."""
MAX_SCORED_SCOPE = 20_000
"""A scope of so few chunks is scored as a whole, unless the posting lists are shorter."""
LEAST_SHARE = 0.01
"""The owner of a smaller share gets a smaller budget, because most chunks of the lists belong to others."""
RARE_OWNER = 0.3
"""The owner of a larger share is checked by the documents: the list of that owner's chunks is too long to read."""
MAX_TERMS = 64
"""The number of terms of a long question that are scored: the heaviest ones. More do not improve the ranking."""
EXPANSION_SAMPLE, MAX_EXPANSIONS = 80, 30
"""A prefix is replaced by its most frequent words in a sample of chunks."""
MAX_NAMES, MAX_NAMED_DOCUMENTS, MAX_NAMED_CHUNKS, CHUNKS_PER_NAME = 2_000, 50, 20_000, 10
"""The most names that are compared, documents and chunks of the best names, and chunks of each document."""
MAX_PAIRS = 8
"""How many pairs of a phrase are looked up in the neighbors filter."""

_SCORED = """
SELECT i.chunk_id, i.document_id, i.generation, i.lexemes,
  -(i.impacts <#> %(vector)s::sparsevec) * {correction} AS score
FROM document_terms i WHERE i.lexemes @@ %(query)s::tsquery AND {neighbors}
"""
_SCORED_OF_FEW = """
SELECT i.chunk_id, i.document_id, i.generation, i.lexemes,
  -(i.impacts <#> %(vector)s::sparsevec) * {correction} AS score
FROM ({scope}) v JOIN document_terms i ON i.document_id = v.uid AND i.generation = v.generation
WHERE i.impacts <#> %(vector)s::sparsevec < 0 AND {neighbors}
"""
# The chunks of documents whose names match, each with the words of the name. The places in the name follow those in the
# chunk. Only the best chunks of a document are looked at, because joining the lexemes takes long.
_NAMED = """
SELECT i.chunk_id, i.document_id, i.generation, i.lexemes || n.lexemes AS lexemes, i.score + k.score AS score
FROM unnest(%(named)s::uuid[], %(name_scores)s::float8[]) AS k (uid, score)
JOIN document_names n ON n.document_id = k.uid JOIN ({scope}) v ON v.uid = k.uid
CROSS JOIN LATERAL (
  SELECT t.*, -(t.impacts <#> %(vector)s::sparsevec) * {correction} AS score FROM document_terms t
  WHERE t.document_id = v.uid AND t.generation = v.generation ORDER BY score DESC, t.chunk_id LIMIT %(most_named)s
) i WHERE (i.lexemes || n.lexemes) @@ %(query)s::tsquery
"""
_NAMES = """
SELECT n.document_id, -(n.impacts <#> %(vector)s::sparsevec), v.chunk_count, n.read FROM (
  SELECT *, count(*) OVER () AS read
  FROM (SELECT * FROM document_names WHERE lexemes @@ %(names)s::tsquery LIMIT {most}) t
) n JOIN ({scope}) v ON v.uid = n.document_id ORDER BY 2 DESC, 1 LIMIT {kept}
"""
_NOT_NAMED = """
NOT EXISTS (SELECT FROM document_names x WHERE x.document_id = s.document_id AND x.lexemes @@ %({name})s::tsquery)
"""
_NOW = "%(average)s::float8"
_CORRECTION = CORRECTION.format(row="i", now=_NOW)
# The hash is taken modulo the bits of the chunk's own filter, which is as long as the chunk.
_ARE_NEIGHBORS = "get_bit(i.neighbours, {hash} %% (8 * octet_length(i.neighbours))) = 1"
# The lateral join looks up documents one by one, from the best chunk on, until there are enough hits.
_BEST = """
SELECT s.chunk_id, s.document_id, s.score, {has_every_word}, {is_whole_phrase} FROM ({scored}) s
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
    has_every_word: bool = False


def best_chunks(query: ParsedQuery, scope: Scope, languages: Sequence[str], limit: int) -> list[Hit]:
    """Returns the best hits first: at most DEPTH, and at least `limit` if there are so many."""
    if query.is_empty:
        return []
    known = statistics_of(scope.owner)
    terms = _weigh_terms(query, languages, known)
    is_rare_owner = known.common is None or known.share_of_owner < RARE_OWNER
    chunks = _ChunkScorer(query, scope, terms, max(limit, DEPTH), average=known.average, is_rare_owner=is_rare_owner)
    listed = [*filter(_is_listed, terms)]
    hits = _best_by_text(chunks, listed, limit, known) if listed else []
    return chunks.merge(chunks.score_named(), hits)


def _best_by_text(chunks: "_ChunkScorer", terms: Sequence[WeightedTerm], limit: int, known: Statistics) -> list[Hit]:
    """Returns the best hits by the words of the chunks alone."""
    query, scope = chunks.query, chunks.scope
    in_lists = sum(term.count for term in terms)
    # Twice: a document's chunks are stored together, so they read faster than the scattered chunks of a list.
    if scope.chunks <= min(2 * in_lists, MAX_SCORED_SCOPE):
        return chunks.merge(chunks.score_scope())
    if query.phrases and _rarest_in(query.phrases, terms) <= FIRST_BUDGET:
        return chunks.merge(chunks.score_candidates(""))
    # Everybody's lists are read, and longer ones for an owner of few chunks, but not without end.
    budget = FIRST_BUDGET * min(known.share_of_owner / LEAST_SHARE, 1) if known.common else math.inf
    for choice in list_choices(terms, budget):
        if scope.chunks <= min(choice.budget, in_lists):
            return chunks.merge(chunks.score_scope())
        hits = chunks.merge(chunks.score_candidates(choice.query))
        if len(hits) >= limit or query.phrases:
            break
    lowest = hits[limit - 1].score if len(hits) >= limit else 0.0
    # Other chunks with the required phrases may get the bonus too.
    second = second_query(terms, choice, lowest, chunks.bonus if query.phrases else 0.0, known.total)
    return hits if second is None else chunks.merge(chunks.score_candidates(second), hits)


def _rarest_in(phrases: Sequence[Phrase], terms: Sequence[WeightedTerm]) -> float:
    """Returns an upper bound of how many chunks can have the phrases."""
    lexemes = frozenset().union(*(phrase.lexemes for phrase in phrases))
    return min((term.count for term in terms if lexemes.issuperset(term.term.lexemes)), default=math.inf)


def _weigh_terms(query: ParsedQuery, languages: Sequence[str], known: Statistics) -> list[WeightedTerm]:
    expanded = [_expand_prefix(prefix.text, _of_owner(prefix.query, known), languages) for prefix in query.prefixes]
    counts = known.counts({lexeme for term in query.terms for lexeme in term.lexemes})
    counts |= known.rough_counts({lexeme for term in expanded for lexeme in term.lexemes})
    found = []
    for term in [*query.terms, *(term for term in expanded if term.lexemes)]:
        count = min(sum(counts[lexeme] for lexeme in term.lexemes), known.total)
        weight = term.repeats * idf(count, known.total)
        found.append(WeightedTerm(term, weight, lists_of(term, weight, count, known)))
    found.sort(key=lambda term: -term.weight)
    # Words that no chunk has may be in names.
    return [*filter(_is_listed, found)][:MAX_TERMS] + [term for term in found if not _is_listed(term)][:MAX_TERMS]


def _is_listed(term: WeightedTerm) -> bool:
    return bool(term.lists)


def _of_owner(query: str, known: Statistics) -> str:
    return query if known.owner is None else f"{query} & '{OWNER}{known.owner}'"


def _expand_prefix(prefix: str, query: str, languages: Sequence[str]) -> Term:
    """Returns the most frequent words that begin with the prefix, and their stems, as one term."""
    with connection.cursor() as cursor:
        cursor.execute(_EXPANSIONS, [query, EXPANSION_SAMPLE, prefix, AS_WRITTEN + prefix, MAX_EXPANSIONS])
        found = [lexeme.removeprefix(AS_WRITTEN) for lexeme, _ in cursor.fetchall()]
    each = stems_of_each([(found, language) for language in languages])
    stems = {stem for stems in each for stem in stems.values()}
    return Term(tuple(dict.fromkeys([*found, *sorted(stems)])))


class _ChunkScorer:
    """Scores chunks in the database, and returns the best of those that match the query and are in the scope."""

    def __init__(
        self,
        query: ParsedQuery,
        scope: Scope,
        terms: Sequence[WeightedTerm],
        depth: int,
        *,
        average: float,
        is_rare_owner: bool,
    ) -> None:
        self.query = query
        self.scope = scope
        self.terms = terms
        self.depth = depth
        self.is_rare_owner = is_rare_owner
        self.bonus = PHRASE_BONUS * sum(term.weight for term in terms)
        weights = {lexeme: term.weight for term in terms for lexeme in term.term.lexemes}
        self.parameters: dict[str, Any] = {
            "vector": vector_text(by_dimension(weights)),
            "average": average,
            "depth": depth,
            "most": MAX_PER_DOCUMENT,
            "every": query.every_word,
            "whole": query.whole_phrase.exact if query.whole_phrase else None,
        }
        # The filter of neighbors rules out most chunks; only the rest is compared with the phrase, place by place.
        self.conditions = " AND ".join(self._phrase_conditions()) or "true"
        self.neighbors = " AND ".join(map(_may_have_phrase, query.phrases)) or "true"
        self.required = [prefix.query for prefix in query.prefixes] + [phrase.words for phrase in query.phrases]

    def _phrase_conditions(self) -> Iterator[str]:
        for number, phrase in enumerate([*self.query.phrases, *self.query.excluded]):
            name = f"phrase{number}"
            self.parameters[name] = phrase.exact
            if number < len(self.query.phrases):
                yield f"s.lexemes @@ %({name})s::tsquery"
            else:
                yield f"NOT s.lexemes @@ %({name})s::tsquery"
                yield _NOT_NAMED.format(name=name)

    def score_candidates(self, candidates: str) -> list[Hit]:
        """Scores the chunks that the tsquery finds. "" means all chunks that have what the question requires."""
        required = [*filter(None, [candidates]), *self.required]
        if self.scope.owner is not None and self.is_rare_owner:
            required.append(f"'{OWNER}{self.scope.owner}'")
        return self._best(_SCORED.format(neighbors=self.neighbors, correction=_CORRECTION), query=" & ".join(required))

    def score_scope(self) -> list[Hit]:
        """Scores all chunks of the scope's documents."""
        scored = _SCORED_OF_FEW.format(scope=self._scope("few"), neighbors=self.neighbors, correction=_CORRECTION)
        if self.required:
            scored += " AND i.lexemes @@ %(query)s::tsquery"
        return self._best(scored, query=" & ".join(self.required))

    def score_named(self) -> list[Hit]:
        """Scores the chunks of the documents whose names have words of the question."""
        named, scores = self._best_names()
        if not named:
            return []
        self.parameters.update(named=named, name_scores=scores, most_named=CHUNKS_PER_NAME)
        every = self.required or [any_of(term.query for term in self.terms)]
        scored = _NAMED.format(scope=self._scope("few"), correction=CORRECTION.format(row="t", now=_NOW))
        return self._best(scored, query=" & ".join(every))

    def _best_names(self) -> tuple[list[UUID], list[float]]:
        """Returns the documents with the best names, and the scores of these."""
        words = [term.query for term in self.terms] + [prefix.query for prefix in self.query.prefixes]
        owner = [] if self.scope.owner is None else [f"'{OWNER}{self.scope.owner}'"]
        rows = self._read_names(" & ".join([any_of(words), *owner]))
        if rows and rows[0][3] == MAX_NAMES:  # a word such as `pdf` is in very many names: all words together are not
            rows = self._read_names(" & ".join([*words, *owner])) or rows
        named, scores, chunks = list[UUID](), list[float](), 0
        for document, score, count, _ in rows:
            chunks += count
            if not named or chunks <= MAX_NAMED_CHUNKS:
                named.append(document)
                scores.append(score)
        return named, scores

    def _read_names(self, query: str) -> list[tuple[Any, ...]]:
        self.parameters["names"] = query
        sql = _NAMES.format(scope=self._scope("few"), most=MAX_NAMES, kept=MAX_NAMED_DOCUMENTS)
        with connection.cursor() as cursor:
            cursor.execute(sql, self.parameters)
            return list(cursor.fetchall())

    def merge(self, found: Sequence[Hit], earlier: Sequence[Hit] = ()) -> list[Hit]:
        """Returns the best `depth` of both lists, each chunk once."""
        hits = {hit.chunk_id: hit for hit in [*earlier, *found]}.values()
        return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))[: self.depth]

    def _best(self, scored: str, query: str) -> list[Hit]:
        found = self._run(_EACH.format(scored=scored), query)
        if self.scope.is_one_document:
            return found
        # A few long documents may have filled all places. Then a slower query limits each document in the database.
        hits = limit_per_document(found)
        if len(found) < self.depth or len(hits) >= self.depth // 2:
            return hits
        return self._run(_FEW_OF_EACH.format(scored=scored), query)

    def _run(self, scored: str, query: str) -> list[Hit]:
        sql = _BEST.format(
            scored=scored,
            scope=self._scope("scope"),
            has_every_word="s.lexemes @@ %(every)s::tsquery" if self.query.every_word else "true",
            is_whole_phrase="s.lexemes @@ %(whole)s::tsquery" if self.query.whole_phrase else "false",
            conditions=self.conditions,
        )
        with connection.cursor() as cursor:
            cursor.execute(sql, {**self.parameters, "query": query})
            rows = cursor.fetchall()
        hits = [
            Hit(chunk, document, score + self.bonus * is_whole, has_every)
            for chunk, document, score, has_every, is_whole in rows
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))

    def _scope(self, name: str) -> str:
        """Returns the scope's SQL with named parameters."""
        names = [f"{name}{number}" for number in range(len(self.scope.parameters))]
        self.parameters.update(zip(names, self.scope.parameters, strict=True))
        return self.scope.sql % tuple(f"%({each})s" for each in names)


def _may_have_phrase(phrase: Phrase) -> str:
    """Returns SQL that is true for every row with the phrase, and for few others. It reads no places of lexemes."""
    if not phrase.neighbors or () in phrase.neighbors:
        return "true"
    chains = [
        " AND ".join(_ARE_NEIGHBORS.format(hash=hash) for hash in sorted(set(hashes))[:MAX_PAIRS])
        for hashes in sorted(phrase.neighbors)
    ]
    return "(" + " OR ".join(f"({chain})" for chain in chains) + ")"


def limit_per_document(hits: Iterable[Hit]) -> list[Hit]:
    """Returns at most MAX_PER_DOCUMENT hits of each document."""
    seen: dict[UUID, int] = {}
    kept = []
    for hit in hits:
        seen[hit.document_id] = seen.get(hit.document_id, 0) + 1
        if seen[hit.document_id] <= MAX_PER_DOCUMENT:
            kept.append(hit)
    return kept
