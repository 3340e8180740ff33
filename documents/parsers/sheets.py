"""Workbooks of Excel and OpenDocument: a page for every sheet, hidden ones too, with its rows."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError, SheetTypeEnum

from documents.errors import Corrupt, Encrypted, TooLarge
from documents.parsers import MAX_CELLS, ParsedDocument, Report, register
from documents.parsers.archive import is_zip, open_zip
from documents.parsers.csv import rows_text

Cell = str | int | float | bool | date | time | timedelta


class SheetParser:
    formats = ("xlsx", "xls", "ods")

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        if is_zip(path):
            open_zip(path).close()
        try:
            with CalamineWorkbook.from_path(str(path)) as workbook:
                return _read(workbook, report)
        except PasswordError as error:
            raise Encrypted() from error
        except (CalamineError, OSError, ValueError) as error:
            raise Corrupt() from error


def _read(workbook: CalamineWorkbook, report: Report) -> ParsedDocument:
    names = [sheet.name for sheet in workbook.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
    document = ParsedDocument([], rows=[])
    assert document.rows is not None
    cells = 0
    for done, name in enumerate(names, start=1):
        sheet = workbook.get_sheet_by_name(name)
        cells += sheet.height * sheet.width
        if cells > MAX_CELLS:
            raise TooLarge(f"The workbook has over {MAX_CELLS} cells: split it, or save the sheets needed as CSV.")
        rows = list(_rows(sheet))
        document.rows.append(rows)
        document.pages.append(f"{name}\n{rows_text(rows)}" if rows else "")
        report(done, len(names))
    return document


def _rows(sheet: CalamineSheet) -> Iterator[list[str]]:
    """The rows that hold anything, each as wide as the sheet."""
    if not sheet.height:
        return
    for row in sheet.iter_rows():
        cells = [_text(cell) for cell in row]
        if any(cells):
            yield cells


def _text(cell: Cell) -> str:
    """As people write it: no `.0` behind whole numbers, no time at midnight."""
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(" ", "seconds")
    return str(cell)


register(SheetParser())
