"""Reads numbers as people write them: `1,234.50`, `1.234,50 €`, `(12)`, `3 %`, `CHF 1'000`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

_CURRENCY = r"[$€£¥₹]|US\$|[A-Z]{3}"
_NUMBER = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[-+−])?\s*(?P<before>{_CURRENCY})?\s*(?P<inner>[-+−])?"
    rf"(?P<digits>\d[\d.,'’\s]*)(?P<after>%|{_CURRENCY})?(?P<close>\))?"
)
_GROUPED = re.compile(r"[1-9]\d{0,2}([.,])\d{3}(\1\d{3})*")
MAX_CHARS = 40
MISSING = {"", "-", "–", "—", "n/a", "na", "nan", "null", "none", "?"}


@dataclass(frozen=True)
class Numbers:
    """A column's numbers in their order, None if a cell has none. `unit` is `%`, a currency, or empty."""

    values: list[Decimal | None]
    unit: str

    @property
    def present(self) -> list[Decimal]:
        return [value for value in self.values if value is not None]

    @property
    def places(self) -> int:
        """How many decimals to show: none if all are whole numbers."""
        return 0 if all(value == value.to_integral_value() for value in self.present) else 2


def is_missing(cell: Any) -> bool:
    return cell is None or str(cell).strip().lower() in MISSING


def decimal_mark(cells: Iterable[Any]) -> str | None:
    """The decimal mark that some cell makes certain: `,` for `2,5`. None if every cell can be read both ways."""
    marks = {_certain_mark(cell) for cell in cells if isinstance(cell, str)} - {None}
    return marks.pop() if len(marks) == 1 else None


def read_numbers(cells: Sequence[Any], mark: str = ".") -> Numbers | None:
    """Reads a column as numbers. Returns None if more than one cell in ten is not a number.

    The whole column has one decimal mark: the one that its cells make certain, else `mark`.
    """
    mark = decimal_mark(cells) or mark
    read = [_read(cell, mark) for cell in cells]
    values = [value for value, _ in read]
    found = sum(value is not None for value in values)
    if not found or found < sum(not is_missing(cell) for cell in cells) * 0.9:
        return None
    units = {unit for value, unit in read if value is not None}
    return Numbers(values, units.pop() if len(units) == 1 else "")


def shown(value: Decimal, unit: str = "", places: int = 2) -> str:
    """Formats a number like `1,234.50 €`."""
    return f"{value:,.{places}f} {unit}".strip()


def _read(cell: Any, mark: str) -> tuple[Decimal | None, str]:
    if isinstance(cell, bool) or is_missing(cell):
        return None, ""
    if isinstance(cell, int | float):
        return _decimal(str(cell)), ""
    match = _NUMBER.fullmatch(" ".join(str(cell)[:MAX_CHARS].split()))
    if match is None or len(str(cell)) > MAX_CHARS or bool(match["open"]) != bool(match["close"]):
        return None, ""
    value = _unsigned(_joined(match["digits"]), mark)
    is_negative = match["open"] or (match["sign"] or match["inner"] or "+") != "+"
    unit = match["after"] or match["before"] or ""
    return (-value if value is not None and is_negative else value), unit


def _joined(digits: str) -> str:
    """Removes the gaps of `1 234,5` and `1'234.5`. Returns "" if they do not mark thousands."""
    first, *others = re.split(r"['’\s]", digits.strip())
    return first + "".join(others) if all(re.match(r"\d{3}(?!\d)", part) for part in others) else ""


def _unsigned(digits: str, mark: str) -> Decimal | None:
    """Returns None for `007`, which is a name, and for marks that make no number, as in `1.2.3`."""
    if not digits or re.fullmatch(r"0\d+", digits):
        return None
    mark = _certain_mark(digits) or mark
    whole, _, fraction = digits.partition(mark)
    other = "." if mark == "," else ","
    if mark in fraction or other in fraction:
        grouped = _GROUPED.fullmatch(digits)
        return _decimal(re.sub(r"[.,]", "", digits)) if grouped else None
    if other in whole and not _GROUPED.fullmatch(whole):
        return None
    return _decimal(f"{whole.replace(other, '')}.{fraction or 0}")


def _certain_mark(cell: str) -> str | None:
    """The decimal mark of `2,5` or `1.234,50`. None for `1,234`, `1.234.567` and numbers without a mark."""
    match = re.search(r"\d[\d.,'’\s]*", cell) if len(cell) <= MAX_CHARS else None
    digits = re.sub(r"['’\s]", "", match[0]) if match else ""
    last = max(digits.rfind("."), digits.rfind(","))
    if last < 0 or _GROUPED.fullmatch(digits) or digits.count(digits[last]) > 1:
        return None
    return digits[last]


def _decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None
