"""Spreadsheets of Excel and OpenDocument: a page for every sheet, also for hidden ones, with its rows."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zipfile import ZipFile

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError, SheetTypeEnum

from documents.errors import Corrupt, Encrypted
from documents.parsers import ParsedDocument, Report, register
from documents.parsers.file_structures.office_package import xml_part
from documents.parsers.file_structures.zip_limits import ZIP_DAMAGE, is_zip, open_zip
from documents.parsers.opendocument.text import TextStyles
from documents.parsers.spreadsheets.number_formats import general
from documents.parsers.spreadsheets.ods import read_sheets
from documents.parsers.spreadsheets.sheet_rows import CellLimit, Sheet, SheetRows
from documents.parsers.spreadsheets.xls import read_xls
from documents.parsers.spreadsheets.xlsx import SheetPart, Workbook
from documents.parsers.spreadsheets.xlsx_drawings import texts_of_sheet
from documents.parsers.text_files.csv import rows_text

_CONTENT, _STYLES = "content.xml", "styles.xml"
_WORKSHEET = "worksheet"

Cell = str | int | float | bool | date | time | timedelta


class SheetParser:
    formats = ("xlsx", "xls", "ods")

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        limit = CellLimit()
        if not is_zip(path):
            return _read_old_or_flat(path, limit, report)
        with open_zip(path) as archive:
            if _CONTENT in archive.NameToInfo:
                return _document(_opendocument_sheets(archive, limit), report)
            workbook = Workbook(archive)
            if workbook.is_binary:
                return _document(_calamine_sheets(path, limit), report)
            parts = [part for part in workbook.sheets() if part.kind == _WORKSHEET]
            warnings: list[str] = []
            return _document(_xlsx_sheets(workbook, parts, limit, warnings), report, warnings, total=len(parts))


def _document(
    sheets: Iterator[Sheet], report: Report, warnings: list[str] | None = None, total: int = 0
) -> ParsedDocument:
    """Returns a page for every sheet. Reading them adds to `warnings`. A `total` of 0 means that it is not known."""
    document = ParsedDocument([], rows=[], warnings=[] if warnings is None else warnings)
    assert document.rows is not None
    for done, sheet in enumerate(sheets, start=1):
        document.rows.append(sheet.rows)
        texts = [rows_text(sheet.rows), *sheet.texts]
        document.pages.append("\n".join([sheet.name, *filter(None, texts)]) if any(texts) else "")
        report(done, total or done)
    return document


def _xlsx_sheets(
    workbook: Workbook, parts: Sequence[SheetPart], limit: CellLimit, warnings: list[str]
) -> Iterator[Sheet]:
    """Yields the sheets. A damaged one becomes a warning and is blank. Raises Corrupt if all are damaged."""
    seen, damaged = set[str](), 0
    for part in parts:
        try:
            sheet = workbook.read(part, limit)
        except Corrupt:
            sheet, damaged = Sheet(part.name), damaged + 1
            warnings.append(f"The sheet {part.name} is missing or damaged: its cells were left out.")
        sheet.texts += texts_of_sheet(workbook.archive, part.part, warnings, seen)
        yield sheet
    if damaged == len(parts):
        raise Corrupt()


def _opendocument_sheets(archive: ZipFile, limit: CellLimit) -> Iterator[Sheet]:
    styles = TextStyles(*(xml_part(archive, name) for name in (_STYLES,) if name in archive.NameToInfo))
    try:
        with archive.open(_CONTENT) as file:
            yield from read_sheets(file, limit, styles)
    except ZIP_DAMAGE as error:
        raise Corrupt() from error


def _read_old_or_flat(path: Path, limit: CellLimit, report: Report) -> ParsedDocument:
    with path.open("rb") as file:
        if file.read(64).lstrip(b"\xef\xbb\xbf\0 \r\n\t")[:1] == b"<":
            file.seek(0)
            return _document(read_sheets(file, limit, TextStyles()), report)
    warnings: list[str] = []
    try:
        return _document(read_xls(path, limit, warnings), report, warnings)
    except Corrupt:
        return _document(_calamine_sheets(path, limit), report)


def _calamine_sheets(path: Path, limit: CellLimit) -> Iterator[Sheet]:
    """Reads binary workbooks (.xlsb), and what it can of old ones that are damaged. It knows no number formats."""
    try:
        with CalamineWorkbook.from_path(str(path)) as workbook:
            for found in workbook.sheets_metadata:
                if found.typ == SheetTypeEnum.WorkSheet:
                    yield Sheet(found.name, _rows(workbook.get_sheet_by_name(found.name), limit))
    except PasswordError as error:
        raise Encrypted() from error
    except (CalamineError, OSError, ValueError) as error:
        raise Corrupt() from error


def _rows(sheet: CalamineSheet, limit: CellLimit) -> list[list[str]]:
    rows = SheetRows(limit)
    for row in sheet.iter_rows() if sheet.height else ():
        texts = map(_cell_text, row)
        rows.add({column: text for column, text in enumerate(texts) if text})
    return rows.table()


def _cell_text(cell: Cell) -> str:
    """Formats a cell as people write it: no `.0` after integers, no time at midnight, durations in hours."""
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float):
        return general(cell)
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(" ", "seconds")
    if isinstance(cell, timedelta):
        minutes, seconds = divmod(round(cell.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return str(cell)


register(SheetParser())
