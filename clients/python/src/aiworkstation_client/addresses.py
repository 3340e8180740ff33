"""Paths and queries of the API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar
from urllib.parse import quote

T = TypeVar("T")


def address(*parts: str) -> str:
    """Joins a path that begins with `/api/` with ids. Raises ValueError for an id that no path can have."""
    first, *ids = parts
    for each in ids:
        if not isinstance(each, str) or each in ("", ".", ".."):
            raise ValueError(f"{each!r} is not an id.")
    return "/".join([first, *(quote(each, safe="") for each in ids)])


def query(**parameters: object) -> list[tuple[str, str]]:
    """Leaves out what is None, and repeats a parameter for each item of a list."""
    return [(name, _text(item)) for name, value in parameters.items() for item in _items(value)]


def listed(name: str, items: Iterable[T]) -> list[T]:
    """Raises ValueError for a text: it would be taken for a list of its letters."""
    if isinstance(items, str):
        raise ValueError(f"{name} must be a list, such as [{items!r}].")
    return list(items)


def _items(value: object) -> Iterable[object]:
    if value is None:
        return []
    return value if isinstance(value, Iterable) and not isinstance(value, str) else [value]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
