"""Old Excel workbooks (.xls): Excel 2 to 2003. xlrd reads their cells, number formats and fonts."""

import zlib
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import xlrd
from xlrd.biffh import XL_CELL_BOOLEAN, XL_CELL_DATE, XL_CELL_ERROR, XL_CELL_NUMBER, XL_CELL_TEXT, error_text_from_code
from xlrd.book import Book
from xlrd.sheet import Sheet as OldSheet

from documents.errors import Corrupt, Encrypted
from documents.parsers.file_structures.ole import OLE_DAMAGE
from documents.parsers.signs.raised import as_drawn
from documents.parsers.spreadsheets.number_formats import BUILT_IN, GENERAL, shown, shown_text
from documents.parsers.spreadsheets.sheet_rows import CellLimit, Sheet, SheetRows

_DAMAGE = (*OLE_DAMAGE, xlrd.XLRDError, zlib.error)
"""What xlrd raises for a damaged workbook."""
_RAISED = 1
_FOLLOWS_SETTINGS = {14, 22}
"""Formats of dates that follow the reader's settings, whatever the file says."""


def read_xls(path: Path, limit: CellLimit, warnings: list[str]) -> Iterator[Sheet]:
    """Yields the sheets. A damaged one becomes a warning and is blank. Raises Corrupt, Encrypted and TooLarge."""
    book = _opened(path)
    damaged = 0
    for place, name in enumerate(book.sheet_names()):
        try:
            yield _Cells(book, book.sheet_by_index(place)).read(limit)
        except _DAMAGE as error:
            damaged += 1
            if damaged == book.nsheets:
                raise Corrupt() from error
            warnings.append(f"The sheet {name} is damaged: its cells were left out.")
            yield Sheet(name)
        book.unload_sheet(place)


def _opened(path: Path) -> Book:
    try:
        return xlrd.open_workbook(
            file_contents=path.read_bytes(),
            logfile=StringIO(),
            formatting_info=True,
            on_demand=True,
            ragged_rows=True,
        )
    except _DAMAGE as error:
        if "encrypted" in str(error):
            raise Encrypted() from error
        raise Corrupt() from error


class _Cells:
    """The cells of a sheet, as Excel shows them."""

    def __init__(self, book: Book, sheet: OldSheet) -> None:
        self.book = book
        self.sheet = sheet

    def read(self, limit: CellLimit) -> Sheet:
        rows = SheetRows(limit)
        for number in range(self.sheet.nrows):
            texts = (self._text(number, column) for column in range(self.sheet.row_len(number)))
            rows.add({column: text for column, text in enumerate(texts) if text})
        notes = sorted(self.sheet.cell_note_map.items())
        found = [f"{xlrd.cellname(*place)}: {note.text.strip()}" for place, note in notes if note.text.strip()]
        return Sheet(self.sheet.name, rows.table(), found)

    def _text(self, row: int, column: int) -> str:
        kind, value = self.sheet.cell_type(row, column), self.sheet.cell_value(row, column)
        if kind in {XL_CELL_NUMBER, XL_CELL_DATE}:
            return shown(value, self._format(row, column), is_1904=self.book.datemode == 1)
        if kind == XL_CELL_TEXT:
            return shown_text(self._rich_text(row, column, value), self._format(row, column))
        if kind == XL_CELL_BOOLEAN:
            return "TRUE" if value else "FALSE"
        return error_text_from_code.get(value, "") if kind == XL_CELL_ERROR else ""

    def _format(self, row: int, column: int) -> str:
        """Returns the cell's number format."""
        place = self.sheet.cell_xf_index(row, column)
        key = self.book.xf_list[place].format_key if place < len(self.book.xf_list) else 0
        if key in _FOLLOWS_SETTINGS:
            return BUILT_IN[key]
        found = self.book.format_map.get(key)
        return found.format_str if found is not None else BUILT_IN.get(key, GENERAL)

    def _rich_text(self, row: int, column: int, text: str) -> str:
        """Returns the text with raised characters and signs of symbol fonts as what they show."""
        runs = [(0, self._font(row, column)), *self.sheet.rich_text_runlist_map.get((row, column), ())]
        ends = [*(start for start, _ in runs[1:]), len(text)]
        return "".join(self._shown(text[start:end], font) for (start, font), end in zip(runs, ends, strict=True))

    def _font(self, row: int, column: int) -> int:
        place = self.sheet.cell_xf_index(row, column)
        return int(self.book.xf_list[place].font_index) if place < len(self.book.xf_list) else 0

    def _shown(self, text: str, font: int) -> str:
        if font >= len(self.book.font_list):
            return text
        looks = self.book.font_list[font]
        return as_drawn(text, looks.name, is_raised=looks.escapement == _RAISED)
