"""Figures about a table, in Markdown: counts, sums, means, top values, sums by category."""

import re
from collections import Counter, defaultdict
from decimal import Decimal

from workflows.llm.offline.numbers import is_missing, shown
from workflows.llm.offline.tables import Column, Table

TOP_VALUES = 5
MAX_GROUPS = 12
MAX_LISTED = 12
MAX_BREAKDOWNS = 2
_MEASURES = re.compile(r"amount|revenue|sales|total|value|umsatz|betrag|summe|cost|kosten|spend|price", re.IGNORECASE)
_GROUPS = re.compile(
    r"region|country|land|city|categor|kategorie|type|stage|status|segment|product|produkt|channel|month|monat"
    r"|quarter|year|jahr|industry|branche|department|abteilung|team|plan|source",
    re.IGNORECASE,
)


def describe(table: Table, question: str) -> str:
    """Describes the table. `question` decides which breakdowns come first."""
    parts = [_table_size(table), _number_columns(table), _other_columns(table), *_breakdowns(table, question)]
    return "\n\n".join(part for part in parts if part)


def _table_size(table: Table) -> str:
    size = f"{table.row_count:,} rows, {len(table.columns)} columns"
    return f"**{size}**" + (" (the row of totals left out)" if table.left_out else "")


def _number_columns(table: Table) -> str:
    columns = [column for column in table.columns if column.numbers is not None]
    if not columns:
        return ""
    lines = ["| Column | Values | Sum | Mean | Min | Max |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    return "\n".join([*lines, *(_number_line(column) for column in columns)])


def _number_line(column: Column) -> str:
    assert column.numbers is not None
    numbers, unit, places = column.numbers.present, column.numbers.unit, column.numbers.places
    mean = column.total / len(numbers)
    total = shown(column.total, unit, places) if column.is_summable else "–"
    least, most = shown(min(numbers), unit, places), shown(max(numbers), unit, places)
    cells = [_cell(column.name), f"{len(numbers):,}", total, shown(mean, unit), least, most]
    return f"| {' | '.join(cells)} |"


def _other_columns(table: Table) -> str:
    """A line for each column that has no numbers."""
    columns = [column for column in table.columns if column.numbers is None and column.kind != "empty"]
    lines = [f"- {_cell(column.name)}: {_values(column)}" for column in columns[:MAX_LISTED]]
    empty = [_cell(column.name) for column in table.columns if column.kind == "empty"]
    if len(columns) > MAX_LISTED:
        lines.append(f"- {len(columns) - MAX_LISTED} more columns")
    if empty:
        lines.append(f"- empty: {', '.join(empty[:MAX_LISTED])}")
    return "\n".join(lines)


def _values(column: Column) -> str:
    present = column.present
    gaps = len(column.cells) - len(present)
    missing = f"; {gaps:,} missing" if gaps else ""
    if column.kind == "date":
        return f"{min(present, key=_date_key)} to {max(present, key=_date_key)}{missing}"
    counts = Counter(present)
    if column.kind != "category" or len(counts) == len(present):
        return f"{len(counts):,} different values{missing}"
    top = [f"{_cell(value)} {count:,} ({100 * count // len(present)} %)" for value, count in _top(counts)]
    rest = len(counts) - len(top)
    return ", ".join(top) + (f", {rest} more" if rest else "") + missing


def _top(counts: Counter[str]) -> list[tuple[str, int]]:
    """The most frequent values. The alphabet decides between equals."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TOP_VALUES]


def _date_key(value: str) -> tuple[str, ...]:
    """Sorts `2025-01-31` and `31.01.2025` alike. The day comes first, except with slashes."""
    parts = re.findall(r"\d+", value)
    if "-" in value or len(parts[0]) == 4 or len(parts) < 3:
        return tuple(part.zfill(4) for part in parts)
    first, second, year = parts[:3]
    day, month = (second, first) if "/" in value and int(first) <= 12 else (first, second)
    return tuple(part.zfill(4) for part in (year, month, day, *parts[3:]))


def _breakdowns(table: Table, question: str) -> list[str]:
    """Sums by category: first the categories that the question names, then the likeliest."""
    measures = [column for column in table.columns if column.is_summable]
    groups = [column for column in table.columns if _is_group(column)]
    if not measures or not groups:
        return []
    measure = max(measures, key=lambda column: _rank(column, _MEASURES, question))
    groups.sort(key=lambda column: _rank(column, _GROUPS, question), reverse=True)
    return [_breakdown(measure, group) for group in groups[:MAX_BREAKDOWNS]]


def _is_group(column: Column) -> bool:
    distinct = len(set(column.present))
    return column.kind == "category" and 2 <= distinct <= MAX_GROUPS and distinct < len(column.present)


def _rank(column: Column, likely: re.Pattern[str], question: str) -> tuple[bool, bool]:
    return column.name.lower() in question.lower(), bool(likely.search(column.name))


def _breakdown(measure: Column, category: Column) -> str:
    assert measure.numbers is not None
    sums: dict[str, Decimal] = defaultdict(Decimal)
    rows: Counter[str] = Counter()
    for group, value in zip(category.cells, measure.numbers.values, strict=True):
        name = "(none)" if is_missing(group) else str(group).strip()
        rows[name] += 1
        sums[name] += value or 0
    lines = [f"{_cell(measure.name)} by {_cell(category.name)}:", ""]
    lines += [f"| {_cell(category.name)} | Rows | {_cell(measure.name)} |", "| --- | ---: | ---: |"]
    for name in sorted(sums, key=lambda name: (-sums[name], name)):
        total = shown(sums[name], measure.numbers.unit, measure.numbers.places)
        lines.append(f"| {_cell(name)} | {rows[name]:,} | {total} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """The text in one line that is safe in a Markdown table."""
    return " ".join(text.replace("|", "\\|").split())[:60]
