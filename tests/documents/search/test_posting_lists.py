"""Which posting lists are scored, as tsqueries, without a database."""

import math

import pytest

from documents.search import posting_lists
from documents.search.bm25 import MAX_IMPACT
from documents.search.posting_lists import ListChoice, PostingList, WeightedTerm, list_choices, second_query
from documents.search.query_parser import Term


def weighted(word: str, count: float, high: float | None = None, weight: float = 1.0) -> WeightedTerm:
    """`high` chunks have the word with an impact of 1.6."""
    lists = [PostingList(word, count, 0.0)]
    if high is not None:
        lists.insert(0, PostingList(f"^{word}", high, 1.6 * weight))
    return WeightedTerm(Term((word,)), weight, lists)


def test_lists_are_chosen_within_a_budget_that_grows() -> None:
    terms = [weighted("rare", 100), weighted("usual", 3_000, high=50), weighted("common", 60_000, high=900)]
    found = list(list_choices(terms, 200))
    assert [sorted(choice.chosen) for choice in found] == [
        ["^usual", "rare"],
        ["^common", "^usual", "rare"],
        ["^common", "rare", "usual"],
        ["common", "rare", "usual"],
    ]
    assert [choice.budget for choice in found] == [200, 3_200, 12_800, 204_800]
    assert found[0].bounds == (0.0, 1.6, MAX_IMPACT)
    assert found[-1].bounds == (0.0, 0.0, 0.0)


def test_all_lists_are_chosen_at_once_within_a_large_budget() -> None:
    (choice,) = list_choices([weighted("usual", 3_000, high=50)], math.inf)
    assert choice.chosen == ("usual",)


NOTHING_READ = ListChoice(1, (), (MAX_IMPACT, MAX_IMPACT))


def test_no_second_query_if_the_others_cannot_reach_the_lowest() -> None:
    terms = [weighted("a", 1000), weighted("b", 1000)]
    assert second_query(terms, NOTHING_READ, 5.0, 0.0, 100_000) is None
    assert second_query(terms, NOTHING_READ, 4.9, 0.0, 100_000) == "(a & b)"


def test_the_bonus_that_others_may_get_by_a_phrase_counts() -> None:
    terms = [weighted("a", 1000), weighted("b", 1000)]
    assert second_query(terms, NOTHING_READ, 6.0, 2.0, 100_000) == "(a & b)"
    assert second_query(terms, NOTHING_READ, 4.0, 2.0, 100_000) == "(a | b)"
    assert second_query(terms, NOTHING_READ, 2.0, 2.0, 100_000) == ""


def test_one_of_many_words_is_never_enough() -> None:
    """Otherwise all chunks with any of them would be read."""
    terms = [weighted(f"w{number}", 50_000) for number in range(12)]
    query = second_query(terms, ListChoice(1, (), (MAX_IMPACT,) * 12), 2.0, 0.0, 1_000_000)
    assert query is not None
    assert query.startswith("((w0 & ")


@pytest.mark.parametrize(
    ("needed", "query", "share"),
    [
        (1.6, "(a | b)", 0.75),
        (2.0, "(^a | (a & b) | ^b)", 0.35),
        (3.0, "(a & b)", 0.25),
        (4.0, "((^a & b) | (a & ^b))", 0.09),
        (4.5, "(^a & ^b)", 0.01),
    ],
)
def test_the_second_query_requires_impacts_that_add_up(needed: float, query: str, share: float) -> None:
    found = posting_lists._formula(_two_terms(), needed)
    assert found is not None
    assert found[0] == query
    assert found[1] == pytest.approx(share)


def test_nothing_adds_up_to_more_than_the_highest_impacts() -> None:
    assert posting_lists._formula(_two_terms(), 5.1) is None


def _two_terms() -> list[list[posting_lists._OpenList]]:
    return [[posting_lists._OpenList(f"^{word}", 0.1, 2.5), posting_lists._OpenList(word, 0.5, 1.6)] for word in "ab"]


def test_the_tolerance_counts_from_the_third_word_on() -> None:
    assert posting_lists._tolerance_factor([1.0, 0.0, 2.0]) == 1.0
    assert posting_lists._tolerance_factor([1.0] * 4) == pytest.approx(1.2)
    assert posting_lists._tolerance_factor([1.0] * 40) == 1.5
