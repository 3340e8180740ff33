"""Lists of chunks, by which the best ones are found without looking at all that have one of a question's words.

No SQL is run here: what is chosen are tsqueries. See `ranking` for the method.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from documents.search.indexing import HIGHEST, LEVELS
from documents.search.query_parser import Term
from documents.search.statistics import Statistics

WIDER = 4
"""Times as many chunks as before, where too few of those looked at are among the documents asked for."""
SECOND_LOOK = 20_000
LOOKED_AT_TOGETHER, SORTED_BY_IMPACT = 8, 4
FEWER = 1.1
TOLERANCE, MOST_TOLERANCE = 0.1, 0.5
"""For each word from the third on whose chunks were not all looked at: no chunk is among the best for all of many
words. See the threshold factor of Broder et al., "Efficient query evaluation using a two-level retrieval process"
(2003)."""


@dataclass(frozen=True)
class Weighted:
    """A term with its weight, and the lists by which its chunks are found, the shortest first."""

    term: Term
    weight: float
    lists: list["Postings"] = field(default_factory=list)

    @property
    def query(self) -> str:
        return any_of(f"'{lexeme}'" for lexeme in self.term.lexemes)

    @property
    def count(self) -> float:
        return max(postings.count for postings in self.lists)


@dataclass(frozen=True)
class Postings:
    """Chunks with a term. Where they are looked at, others reach no more than `rest` by it."""

    query: str
    count: float
    rest: float


def lists_of(term: Term, weight: float, count: float, known: Statistics) -> list[Postings]:
    if not count:
        return []
    lists = [Postings(any_of(f"'{lexeme}'" for lexeme in term.lexemes), count, 0.0)]
    for sign, level in LEVELS.items():
        signed = [sign + lexeme for lexeme in term.lexemes]
        high = sum(known.estimate(lexeme) for lexeme in signed)
        if known.common and high < count / 2:
            lists.append(Postings(any_of(f"'{lexeme}'" for lexeme in signed), high, weight * level))
    return sorted(lists, key=lambda postings: -postings.rest)


@dataclass(frozen=True, slots=True)
class Choice:
    """The lists to look at, so many chunks together, and what one in none of them may reach by each term."""

    room: float
    chosen: tuple[str, ...]
    rest: tuple[float, ...]

    @property
    def query(self) -> str:
        return any_of(self.chosen)


def choices(terms: Sequence[Weighted], room: float) -> Iterator[Choice]:
    """Wider and wider ones, until all lists are chosen."""
    earlier = None
    while True:
        choice = _within(terms, room)
        if choice.chosen != earlier:
            yield choice
        if not any(choice.rest):
            return
        earlier, room = choice.chosen, WIDER * room


def _within(terms: Sequence[Weighted], room: float) -> Choice:
    left = room
    chosen: dict[int, Postings] = {}
    rest = {place: term.weight * HIGHEST for place, term in enumerate(terms)}
    while True:
        options = [
            ((rest[place] - postings.rest) / max(postings.count - _count(chosen.get(place)), 1.0), place, postings)
            for place, term in enumerate(terms)
            for postings in term.lists
            if postings.rest < rest[place]
        ]
        options = [option for option in options if _added(option, chosen) <= left or not chosen]
        if not options:
            break
        _, place, postings = max(options, key=lambda option: option[0])
        left -= _added((0.0, place, postings), chosen)
        chosen[place], rest[place] = postings, postings.rest
    return Choice(room, tuple(postings.query for postings in chosen.values()), tuple(rest.values()))


def second_look(terms: Sequence[Weighted], choice: Choice, lowest: float, bonus: float, total: float) -> str | None:
    """A tsquery for the chunks outside the choice that can still reach the lowest of the wanted scores.

    "" is all chunks, None is no chunk.
    """
    needed = lowest * _tolerated(choice.rest) - bonus
    if sum(choice.rest) <= max(needed, 0.0):
        return None
    return _reaching(terms, choice.chosen, needed, total) if needed > 0 else ""


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


def _reaching(terms: Sequence[Weighted], chosen: Sequence[str], needed: float, total: float) -> str | None:
    """By terms whose chunks were not all looked at."""
    left = [lists for term in terms if (lists := _open(term, chosen, max(total, 1)))]
    left.sort(key=lambda lists: -lists[0].bound)
    if len(left) > SORTED_BY_IMPACT:
        left = [[_List(lists[-1].query, lists[-1].share, lists[0].bound)] for lists in left]
    together, others = left[:LOOKED_AT_TOGETHER], left[LOOKED_AT_TOGETHER:]
    least = min(lists[-1].bound for lists in together)
    needed = max(needed - sum(lists[0].bound for lists in others), least)
    while found := _formula(together, needed):
        query, share = found
        if share * total <= SECOND_LOOK:
            return query
        needed *= FEWER
    return None


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
    return any_of(reversed(parts)), share


def any_of(queries: Iterable[str]) -> str:
    found = list(dict.fromkeys(queries))
    return found[0] if len(found) == 1 else f"({' | '.join(found)})"
