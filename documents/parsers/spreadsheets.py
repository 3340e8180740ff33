"""Workbooks of Excel and OpenDocument: a page for every sheet, hidden ones too, with its rows."""

import re
import zlib
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from xml.parsers.expat import ExpatError, ParserCreate
from zipfile import BadZipFile, ZipFile

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError, SheetTypeEnum

from documents.errors import Corrupt, Encrypted, TooLarge
from documents.parsers import MAX_CELLS, ParsedDocument, Report, register
from documents.parsers.csv import rows_text
from documents.parsers.ods_comments import comments
from documents.parsers.xlsx_drawings import texts_beside
from documents.parsers.zip_limits import is_zip, open_zip

BLOCK = 1 << 20

_CONTENT = "content.xml"
_COMMENT = b"<office:annotation"
_DURATION = re.compile(r"PT(\d+)H(\d\d)M(\d\d)(?:[.,]\d+)?S")
"""Of over a day, as OpenDocument has it."""

DIGITS = 15
"""Of a number: Excel knows no more."""
MAX_WHOLE = 2**53
"""Smaller whole numbers are exact."""

Cell = str | int | float | bool | date | time | timedelta


class SheetParser:
    formats = ("xlsx", "xls", "ods")

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        beside: dict[str, list[str]] = {}
        warnings: list[str] = []
        if is_zip(path):
            with open_zip(path) as archive:
                has_comments = _check_content(archive)
                beside = comments(archive, _CONTENT) if has_comments else texts_beside(archive, warnings)
        try:
            with CalamineWorkbook.from_path(str(path)) as workbook:
                document = _read(workbook, report, beside)
        except PasswordError as error:
            raise Encrypted() from error
        except (CalamineError, OSError, ValueError) as error:
            raise Corrupt() from error
        document.warnings += warnings
        return document


def _check_content(archive: ZipFile) -> bool:
    """Of OpenDocument: calamine looks for the end of a table that has none for ever. Raises Corrupt.

    Returns whether there are comments, which take a slower look.
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
    except (BadZipFile, EOFError, ExpatError, NotImplementedError, OSError, ValueError, zlib.error) as error:
        raise Corrupt() from error
    return has_comments


def _read(workbook: CalamineWorkbook, report: Report, beside: dict[str, list[str]]) -> ParsedDocument:
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
        texts = [rows_text(rows), *beside.get(name, [])]
        document.pages.append("\n".join([name, *filter(None, texts)]) if any(texts) else "")
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
    """As people write it: no `.0` behind whole numbers, no time at midnight, hours beyond a day."""
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < MAX_WHOLE else f"{cell:.{DIGITS}g}"
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(" ", "seconds")
    if isinstance(cell, timedelta):
        minutes, seconds = divmod(round(cell.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    told = _DURATION.fullmatch(cell) if isinstance(cell, str) else None
    return f"{told[1]}:{told[2]}:{told[3]}" if told else str(cell)


register(SheetParser())
