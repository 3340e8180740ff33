"""Sheets of OpenDocument workbooks, read row by row to save memory. Cells hold the text that a reader sees."""

import re
from collections.abc import Iterator
from typing import IO

from documents.parsers.file_structures.safe_xml import Element, attribute, events_of, local_name
from documents.parsers.opendocument.text import TextStyles, paragraphs
from documents.parsers.spreadsheets.number_formats import general
from documents.parsers.spreadsheets.sheet_rows import CellLimit, Sheet, SheetRows

MAX_COLUMN, MAX_ROW = 16_384, 1_048_576
"""The limits of LibreOffice."""

_TABLE = "urn:oasis:names:tc:opendocument:xmlns:table:1.0"
_OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
_DURATION = re.compile(r"PT(\d+)H(\d\d)M(\d\d)(?:[.,]\d+)?S")
_CELLS = {"table-cell", "covered-table-cell"}
_SHAPES = "shapes"


def read_sheets(file: IO[bytes], limit: CellLimit, styles: TextStyles) -> Iterator[Sheet]:
    """Yields the sheets. Raises Corrupt, TooComplex and TooLarge."""
    names = (f"{{{_TABLE}}}{name}" for name in ("table", "table-row", _SHAPES))
    table: _Table | None = None
    for event, element in events_of(file, [*names, f"{{{_OFFICE}}}automatic-styles"], ["start", "end"]):
        name = local_name(element)
        if event == "start":
            if name == "table" and local_name(element.getparent()) == "spreadsheet":
                table = _Table(attribute(element, "name"), SheetRows(limit), styles)
        elif name == "automatic-styles":
            styles.add(element)
        elif table and name == "table-row":
            table.add_row(element)
            element.clear()
        elif table and name == _SHAPES:
            table.texts += paragraphs(element, styles)
        elif table and local_name(element.getparent()) == "spreadsheet":
            yield Sheet(table.name, table.rows.table(), table.texts)
            table = None
            element.clear()


class _Table:
    def __init__(self, name: str, rows: SheetRows, styles: TextStyles) -> None:
        self.name = name
        self.rows = rows
        self.texts: list[str] = []
        self.styles = styles

    def add_row(self, element: Element) -> None:
        row = dict(self._cells(element))
        if row:
            self.rows.add(row, min(_integer(element, "number-rows-repeated"), MAX_ROW))

    def _cells(self, row: Element) -> Iterator[tuple[int, str]]:
        column = 0
        for cell in row:
            if local_name(cell) not in _CELLS:
                continue
            after = column + _integer(cell, "number-columns-repeated")
            if text := self._text(cell):
                yield from ((place, text) for place in range(column, min(after, MAX_COLUMN)))
            column = after

    def _text(self, cell: Element) -> str:
        """Returns what the cell shows. Adds its comment and the texts of shapes on it to those of the sheet."""
        shown: list[str] = []
        for child in cell:
            if local_name(child) == "p":
                shown += paragraphs([child], self.styles)
            elif texts := paragraphs([child], self.styles):
                self.texts.append("\n".join(" ".join(text.split()) for text in texts))
        return "\n".join(shown) or _value(cell)


def _value(cell: Element) -> str:
    """Returns the value of a cell whose text its program did not write."""
    kind = attribute(cell, "value-type")
    if kind in {"float", "currency", "percentage"}:
        return _number(attribute(cell, "value"), is_share=kind == "percentage")
    if kind == "time":
        value = attribute(cell, "time-value")
        duration = _DURATION.fullmatch(value)
        return f"{duration[1]}:{duration[2]}:{duration[3]}" if duration else value
    if kind == "boolean":
        return attribute(cell, "boolean-value").upper()
    return attribute(cell, "date-value" if kind == "date" else "string-value")


def _number(value: str, *, is_share: bool) -> str:
    try:
        number = float(value)
    except ValueError:
        return value
    return f"{general(round(100 * number, 10))}%" if is_share else general(number)


def _integer(element: Element, name: str) -> int:
    value = attribute(element, name)
    return max(int(value), 1) if value.isdecimal() and len(value) < 10 else 1
