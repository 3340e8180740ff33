"""Posting lists: which chunks to score, so that the best are found without scoring all that have one of the words.

No SQL runs here. The choices are tsqueries; `ranking` explains the method and runs them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from documents.search.bm25 import MAX_IMPACT
from documents.search.full_text_index import LEVELS
from documents.search.query_parser import Term
from documents.search.term_statistics import Statistics

BUDGET_FACTOR = 4
"""The budget grows by this factor when too few of the scored chunks are in the scope."""
MAX_SECOND_CANDIDATES = 20_000
MAX_COMBINED_TERMS, MAX_TERMS_BY_IMPACT = 8, 4
"""More terms make the second tsquery too large: beyond these, terms or their impact levels are left out of it."""
RAISE_FACTOR = 1.1
TOLERANCE, MAX_TOLERANCE = 0.1, 0.5
"""The tolerance for each term, from the third on, that has chunks not scored: no chunk is among the best for all of
many terms. See the threshold factor of Broder et al., "Efficient query evaluation using a two-level retrieval
process" (2003)."""


@dataclass(frozen=True)
class WeightedTerm:
    """A term with its weight and its posting lists, shortest first. Each list contains the ones before it."""

    term: Term
    weight: float
    lists: list["PostingList"] = field(default_factory=list)

    @property
    def query(self) -> str:
        return any_of(f"'{lexeme}'" for lexeme in self.term.lexemes)

    @property
    def count(self) -> float:
        return max(postings.count for postings in self.lists)


@dataclass(frozen=True)
class PostingList:
    """Chunks with a term. A chunk outside the list scores at most `outside_bound` by this term."""

    query: str
    count: float
    outside_bound: float


def lists_of(term: Term, weight: float, count: float, known: Statistics) -> list[PostingList]:
    """Returns the list of all chunks with the term, and lists of high impacts if they are much shorter."""
    if not count:
        return []
    lists = [PostingList(any_of(f"'{lexeme}'" for lexeme in term.lexemes), count, 0.0)]
    for sign, level in LEVELS.items():
        signed = [sign + lexeme for lexeme in term.lexemes]
        high = sum(known.estimate(lexeme) for lexeme in signed)
        if known.common and high < count / 2:
            lists.append(PostingList(any_of(f"'{lexeme}'" for lexeme in signed), high, weight * level))
    return sorted(lists, key=lambda postings: -postings.outside_bound)


@dataclass(frozen=True, slots=True)
class ListChoice:
    """The posting lists to score: about `budget` chunks together.

    `bounds` has, for each term, the most that a chunk outside all chosen lists scores by that term.
    """

    budget: float
    chosen: tuple[str, ...]
    bounds: tuple[float, ...]

    @property
    def query(self) -> str:
        return any_of(self.chosen)


def list_choices(terms: Sequence[WeightedTerm], budget: float) -> Iterator[ListChoice]:
    """Yields choices with larger and larger budgets, until all lists are chosen."""
    earlier = None
    while True:
        choice = _choose_within(terms, budget)
        if choice.chosen != earlier:
            yield choice
        if not any(choice.bounds):
            return
        earlier, budget = choice.chosen, BUDGET_FACTOR * budget


def _choose_within(terms: Sequence[WeightedTerm], budget: float) -> ListChoice:
    """Chooses greedily: the list that lowers its term's bound most for each chunk that it adds comes first."""
    left = budget
    chosen: dict[int, PostingList] = {}
    bounds = {place: term.weight * MAX_IMPACT for place, term in enumerate(terms)}
    while True:
        options = [
            (place, postings, postings.count - (chosen[place].count if place in chosen else 0.0))
            for place, term in enumerate(terms)
            for postings in term.lists
            if postings.outside_bound < bounds[place]
        ]
        options = [option for option in options if option[2] <= left or not chosen]
        if not options:
            break
        gains = [(bounds[place] - postings.outside_bound) / max(added, 1.0) for place, postings, added in options]
        place, postings, added = options[gains.index(max(gains))]
        left -= added
        chosen[place], bounds[place] = postings, postings.outside_bound
    return ListChoice(budget, tuple(postings.query for postings in chosen.values()), tuple(bounds.values()))


def second_query(
    terms: Sequence[WeightedTerm], choice: ListChoice, lowest: float, bonus: float, total: float
) -> str | None:
    """Returns a tsquery for the chunks outside the choice that can still reach `lowest`, the lowest wanted score.

    `bonus` is what such a chunk may gain by phrases. "" means all chunks, None means no chunk.
    """
    needed = lowest * _tolerance_factor(choice.bounds) - bonus
    if sum(choice.bounds) <= max(needed, 0.0):
        return None
    return _reaching(terms, choice.chosen, needed, total) if needed > 0 else ""


def _tolerance_factor(bounds: Sequence[float]) -> float:
    """How far above `lowest` a chunk's upper bound must be before the chunk is worth scoring."""
    open_terms = sum(1 for bound in bounds if bound)
    return 1 + min(TOLERANCE * max(open_terms - 2, 0), MAX_TOLERANCE)


@dataclass(frozen=True, slots=True)
class _OpenList:
    """A list that was not scored. Its chunks that are in no shorter list score at most `bound` by the term."""

    query: str
    share: float
    bound: float


_OpenTerm = list[_OpenList]
"""The open lists of a term, shortest first. Each list contains the ones before it."""


def _reaching(terms: Sequence[WeightedTerm], chosen: Sequence[str], needed: float, total: float) -> str | None:
    """Returns a tsquery over the terms that have open lists."""
    left = [lists for term in terms if (lists := _open_lists(term, chosen, max(total, 1)))]
    left.sort(key=lambda lists: -lists[0].bound)
    if len(left) > MAX_TERMS_BY_IMPACT:
        left = [[_OpenList(lists[-1].query, lists[-1].share, lists[0].bound)] for lists in left]
    together, others = left[:MAX_COMBINED_TERMS], left[MAX_COMBINED_TERMS:]
    least = min(lists[-1].bound for lists in together)
    needed = max(needed - sum(lists[0].bound for lists in others), least)
    # Raised until few enough chunks remain: those that could only just reach the lowest score are given up.
    while found := _formula(together, needed):
        query, share = found
        if share * total <= MAX_SECOND_CANDIDATES:
            return query
        needed *= RAISE_FACTOR
    return None


def _open_lists(term: WeightedTerm, chosen: Sequence[str], total: float) -> _OpenTerm:
    scored = [place for place, postings in enumerate(term.lists) if postings.query in chosen]
    bounds = [term.weight * MAX_IMPACT, *(postings.outside_bound for postings in term.lists)]
    lists = [
        _OpenList(postings.query, postings.count / total, bound)
        for postings, bound in zip(term.lists, bounds, strict=False)
    ]
    return lists[max(scored, default=-1) + 1 :]


def _formula(terms: Sequence[_OpenTerm], needed: float) -> tuple[str, float] | None:
    """Returns which terms a chunk must have, with which impacts, to add up to `needed`, and the share that has them.

    "" means all chunks, None means no chunk.
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
        if rest != wider:  # otherwise the longer list's part of the query has these chunks already
            parts.append(f"({each.query} & {rest[0]})" if rest[0] else each.query)
        wider = rest
    return any_of(reversed(parts)), share


def any_of(queries: Iterable[str]) -> str:
    found = list(dict.fromkeys(queries))
    return found[0] if len(found) == 1 else f"({' | '.join(found)})"
