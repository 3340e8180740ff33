"""Strict JSON."""

import json

import pytest

from aiworkstation.strict_json import MAX_DEPTH, BadJson, depth_of, loads


@pytest.mark.parametrize(
    "value", [None, True, 0, -1.5, 1e308, "", "Größe 😀", [], {}, {"a": [1, {"b": "[[["}]}, [[[]], [[[[]]]]]]
)
def test_it_works(value: object) -> None:
    text = json.dumps(value)
    assert loads(text) == loads(text.encode()) == loads(text.encode("utf-16")) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NaN",
        "[Infinity]",
        '{"a": -Infinity}',
        "1e400",
        "[-1e999]",
        "{oh",
        "[1,]",
        "'a'",
        b"\xff",
        "9" * 5000,
        "[1] [2]",
    ],
)
def test_texts_that_are_not_json(text: str | bytes) -> None:
    with pytest.raises(BadJson):
        loads(text)


def test_the_depth_is_limited_and_named() -> None:
    assert depth_of(loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)) == MAX_DEPTH
    for depth in (MAX_DEPTH + 1, 500, 928, 5_000, 100_000):
        for text in ("[" * depth + "]" * depth, '{"a":' * depth + '"]]]]"' + "}" * depth):
            with pytest.raises(BadJson, match=f"nested {depth} levels deep. At most {MAX_DEPTH} are allowed"):
                loads(text)


def test_millions_of_levels_are_not_counted() -> None:
    with pytest.raises(BadJson, match="nested more than 100,000 levels deep"):
        loads("[" * 5_000_000)


def test_depth_counts_arrays_and_objects() -> None:
    assert [depth_of(value) for value in (1, "[[", [], {"a": 1}, [[1], {"a": [{}]}])] == [0, 0, 1, 1, 4]
