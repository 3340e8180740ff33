"""Spreadsheets of Excel and OpenDocument: a page for every sheet, also for hidden ones, with its rows."""

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from xml.parsers.expat import ExpatError, ParserCreate
from zipfile import ZipFile

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError, SheetTypeEnum

from documents.errors import Corrupt, Encrypted, TooLarge
from documents.parsers import MAX_CELLS, ParsedDocument, Report, register
from documents.parsers.csv import rows_text
from documents.parsers.ods_comments import comments
from documents.parsers.xlsx_drawings import texts_outside_cells
from documents.parsers.zip_limits import ZIP_DAMAGE, is_zip, open_zip

BLOCK = 1 << 20

_CONTENT = "content.xml"
_COMMENT = b"<office:annotation"
_DURATION = re.compile(r"PT(\d+)H(\d\d)M(\d\d)(?:[.,]\d+)?S")
"""A duration of more than a day in OpenDocument."""

MAX_DIGITS = 15
"""Excel's precision."""
MAX_EXACT_INTEGER = 2**53
"""Integers below this are exact as floating-point numbers."""

Cell = str | int | float | bool | date | time | timedelta


class SheetParser:
    formats = ("xlsx", "xls", "ods")

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        extra_texts: dict[str, list[str]] = {}
        warnings: list[str] = []
        if is_zip(path):
            with open_zip(path) as archive:
                has_comments = _check_content(archive)
                extra_texts = comments(archive, _CONTENT) if has_comments else texts_outside_cells(archive, warnings)
        try:
            with CalamineWorkbook.from_path(str(path)) as workbook:
                document = _read_sheets(workbook, report, extra_texts)
        except PasswordError as error:
            raise Encrypted() from error
        except (CalamineError, OSError, ValueError) as error:
            raise Corrupt() from error
        document.warnings += warnings
        return document


def _check_content(archive: ZipFile) -> bool:
    """Checks that OpenDocument's XML is complete: otherwise calamine hangs, searching for the end of a table.

    Returns whether there are comments, which take longer to read. Raises Corrupt.
    """
    if _CONTENT not in archive.NameToInfo:
        return False
    parser, has_comments, before = ParserCreate(), False, b""
    try:
        with archive.open(_CONTENT) as file:
            while block := file.read(BLOCK):
                parser.Parse(block)
                has_comments |= _COMMENT in before + block
                before = block[-len(_COMMENT) :]
            parser.Parse(b"", True)
    except (*ZIP_DAMAGE, ExpatError) as error:
        raise Corrupt() from error
    return has_comments


def _read_sheets(workbook: CalamineWorkbook, report: Report, extra_texts: dict[str, list[str]]) -> ParsedDocument:
    names = [sheet.name for sheet in workbook.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
    document = ParsedDocument([], rows=[])
    assert document.rows is not None
    cells = 0
    for done, name in enumerate(names, start=1):
        sheet = workbook.get_sheet_by_name(name)
        cells += sheet.height * sheet.width
        if cells > MAX_CELLS:
            raise TooLarge(f"The workbook has over {MAX_CELLS} cells: split it, or save the sheets needed as CSV.")
        rows = list(_filled_rows(sheet))
        document.rows.append(rows)
        texts = [rows_text(rows), *extra_texts.get(name, [])]
        document.pages.append("\n".join([name, *filter(None, texts)]) if any(texts) else "")
        report(done, len(names))
    return document


def _filled_rows(sheet: CalamineSheet) -> Iterator[list[str]]:
    """Yields the rows that are not blank, each as wide as the sheet."""
    if not sheet.height:
        return
    for row in sheet.iter_rows():
        cells = [_cell_text(cell) for cell in row]
        if any(cells):
            yield cells


def _cell_text(cell: Cell) -> str:
    """Formats a cell as people write it: no `.0` after integers, no time at midnight, durations in hours."""
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < MAX_EXACT_INTEGER else f"{cell:.{MAX_DIGITS}g}"
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(" ", "seconds")
    if isinstance(cell, timedelta):
        minutes, seconds = divmod(round(cell.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    duration = _DURATION.fullmatch(cell) if isinstance(cell, str) else None
    return f"{duration[1]}:{duration[2]}:{duration[3]}" if duration else str(cell)


register(SheetParser())
