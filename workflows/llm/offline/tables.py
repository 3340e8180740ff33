"""Finds tables in a step's output, and the kind of each column."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

from workflows.llm.offline.numbers import Numbers, decimal_mark, is_missing, read_numbers

ColumnKind = Literal["number", "date", "identifier", "category", "text", "empty"]

MAX_DEPTH = 6
MAX_CATEGORIES = 50
_DATE = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}.*)?|\d{4}-\d{2}|\d{4}/\d{1,2}/\d{1,2}"
    r"|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}( \d{1,2}:\d{2}.*)?"
)
_TOTAL = re.compile(r"(grand )?(total|sum|summe|gesamt|gesamtsumme|totaal|somme|suma)\W*", re.IGNORECASE)
_IDENTIFIERS_TEXT = """
id ids uuid guid zip plz postcode postal phone tel telephone mobile fax nr no number key code sku isbn
ean iban index row line email mail url link
"""
_IDENTIFIERS = set(_IDENTIFIERS_TEXT.split())
_NOT_SUMMED_TEXT = """
price rate ratio age score rating avg average mean median percent pct percentage share margin
temperature lat latitude lon lng longitude preis alter quote anteil
"""
_NOT_SUMMED = set(_NOT_SUMMED_TEXT.split())
_YEARS = {"year", "jahr", "yr"}


@dataclass(frozen=True)
class Column:
    """`cells` are not changed. A column of the kind "number" also has `numbers`."""

    name: str
    kind: ColumnKind
    cells: list[Any]
    numbers: Numbers | None = None

    @property
    def present(self) -> list[str]:
        return [str(cell).strip() for cell in self.cells if not is_missing(cell)]

    @property
    def is_summable(self) -> bool:
        return self.numbers is not None and self.numbers.unit != "%" and not _words(self.name) & _NOT_SUMMED

    @property
    def total(self) -> Decimal:
        return sum(self.numbers.present, Decimal(0)) if self.numbers else Decimal(0)


@dataclass(frozen=True)
class Table:
    """`left_out` counts rows at the end that are totals of the others."""

    columns: list[Column]
    row_count: int
    left_out: int = 0
    path: str = field(default="", compare=False)


def find_tables(output: Any) -> list[Table]:
    """Finds every list of records or rows in the JSON, except lists of text passages."""
    return [table for path, rows in _lists(output, "", 0) if (table := _table(path, rows)) is not None]


def _lists(value: Any, path: str, depth: int) -> Iterator[tuple[str, list[Any]]]:
    if depth > MAX_DEPTH:
        return
    if isinstance(value, list) and value:
        if all(isinstance(row, dict | list) for row in value):
            yield path, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _lists(item, str(name), depth + 1)


def _table(path: str, rows: list[Any]) -> Table | None:
    if all(isinstance(row, list) for row in rows):
        names, body = _with_header(rows)
    elif all(isinstance(row, dict) for row in rows) and not any(_is_passage(row) for row in rows):
        names, body = _from_records(rows)
    else:
        return None
    if not names or not body:
        return None
    kept = body[:-1] if len(body) > 2 and _is_total(body[-1]) else body
    cells = [[row[place] for row in kept] for place in range(len(names))]
    mark = decimal_mark(cell for column in cells for cell in column) or "."
    columns = [_column(name, column, mark) for name, column in zip(names, cells, strict=True)]
    return Table(columns, len(kept), len(body) - len(kept), path)


def _is_passage(record: dict[str, Any]) -> bool:
    return "snippet" in record or "chunkId" in record or isinstance(record.get("text"), str)


def _with_header(rows: list[list[Any]]) -> tuple[list[str], list[list[Any]]]:
    """The column names and the rows. The first row has the names if all its cells are words."""
    width = max((len(row) for row in rows), default=0)
    padded = [[*row, *[None] * (width - len(row))] for row in rows if any(not is_missing(cell) for cell in row)]
    if any(isinstance(cell, dict | list) for row in padded[:20] for cell in row) or not padded:
        return [], []
    if len(padded) > 1 and _is_header(padded[0]):
        return [str(cell or "").strip() or f"column {place + 1}" for place, cell in enumerate(padded[0])], padded[1:]
    return [f"column {place + 1}" for place in range(width)], padded


def _is_header(row: list[Any]) -> bool:
    words = [cell.strip() for cell in row if isinstance(cell, str) and cell.strip()]
    is_full = len(words) >= max(1, len(row) * 0.6) and len(set(words)) == len(words)
    return is_full and not any(read_numbers([word]) or _DATE.fullmatch(word) for word in words)


def _from_records(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    return names, [[row.get(name) for name in names] for row in flat]


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """Lifts the values of objects inside the record by one level, such as the `properties` of a CRM."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= {inner: item for inner, item in value.items() if not isinstance(item, dict | list)}
        elif not isinstance(value, list):
            flat[name] = value
    return flat


def _is_total(row: list[Any]) -> bool:
    first = next((str(cell) for cell in row if not is_missing(cell)), "")
    return bool(_TOTAL.fullmatch(first.strip()))


def _column(name: str, cells: list[Any], mark: str) -> Column:
    numbers = read_numbers(cells, mark)
    kind = _kind(name, cells, numbers)
    return Column(name, kind, cells, numbers if kind == "number" else None)


def _kind(name: str, cells: Sequence[Any], numbers: Numbers | None) -> ColumnKind:
    present = [str(cell).strip() for cell in cells if not is_missing(cell)]
    if not present:
        return "empty"
    if sum(bool(_DATE.fullmatch(cell)) for cell in present) >= len(present) * 0.9:
        return "date"
    if numbers is not None:
        return _kind_of_numbers(name, numbers.present)
    if _is_identifier(name) and len(set(present)) > len(present) / 2:
        return "identifier"
    is_short = sum(map(len, present)) / len(present) <= 40
    return "category" if is_short and len(set(present)) <= _most_categories(present) else "text"


def _kind_of_numbers(name: str, numbers: list[Decimal]) -> ColumnKind:
    if _words(name) & _YEARS:
        return "category"
    return "identifier" if _is_identifier(name) or _is_running(numbers) else "number"


def _is_running(numbers: list[Decimal]) -> bool:
    """Whether they count 1, 2, 3, …: row numbers."""
    return len(numbers) > 4 and all(after - before == 1 for before, after in pairwise(numbers))


def _is_identifier(name: str) -> bool:
    words = re.findall(r"[a-z]+", _spaced(name))
    return bool(words) and words[-1] in _IDENTIFIERS


def _most_categories(present: list[str]) -> int:
    return min(MAX_CATEGORIES, max(8, len(present) // 2))


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", _spaced(name)))


def _spaced(name: str) -> str:
    """Writes `unitPrice` and `unit_price` as `unit price`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").lower()
