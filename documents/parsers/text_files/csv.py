"""Tables as text (CSV, TSV): cells are separated by comma, semicolon, tab or bar."""

import csv
import re
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

from documents.errors import Corrupt, TooLarge
from documents.parsers import CELL_SEPARATOR, MAX_CELLS, ParsedDocument, Report, Rows, register
from documents.parsers.decoding import read_text

DELIMITERS = "\t;|,"
"""Those that are rarest within cells first."""
SNIFFED_LINES = 50

_SEP_LINE = re.compile(r"sep=([,;\t|])\n", re.IGNORECASE)


class CsvParser:
    formats = ("csv", "tsv")

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """Returns one page, whose text has a line for every row that is not blank."""
        csv.field_size_limit(sys.maxsize)
        text, delimiter = _declared_delimiter(read_text(path).replace("\0", ""))
        delimiter = delimiter or delimiter_of(text)
        warnings = []
        if _is_open_at_the_end(text, delimiter):
            warnings.append("A quotation mark is not closed, so all of them were read as ordinary characters.")
        try:
            rows = list(_rows(text, delimiter, csv.QUOTE_NONE if warnings else csv.QUOTE_MINIMAL))
        except csv.Error as error:
            raise Corrupt(f"The table cannot be read ({error}): save it again as CSV.") from error
        report(1, 1)
        return ParsedDocument([rows_text(rows)], rows=[rows], warnings=warnings)


def _declared_delimiter(text: str) -> tuple[str, str]:
    """Returns the text without a first line that declares the delimiter to Excel, and the delimiter, or ""."""
    line = _SEP_LINE.match(text)
    return (text[line.end() :], line[1]) if line else (text, "")


def _is_open_at_the_end(text: str, delimiter: str) -> bool:
    """Whether an open quotation mark puts everything after it into one cell."""
    if text.count('"') % 2 == 0:
        return False
    try:
        deque(csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True), maxlen=0)
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _rows(text: str, delimiter: str, quoting: Literal[0, 3]) -> Iterator[list[str]]:
    """Yields the rows that are not blank. Raises TooLarge."""
    cells = 0
    for row in csv.reader(text.splitlines(keepends=True), delimiter=delimiter, quoting=quoting):
        cells += len(row)
        if cells > MAX_CELLS:
            raise TooLarge(f"The table has over {MAX_CELLS} cells: split it into files of fewer rows.")
        if any(row):
            yield row


def rows_text(rows: Rows) -> str:
    """Returns a line for every row. Line breaks in a cell become blanks. Blank cells at the end are left out."""
    return "\n".join(map(_row_text, rows))


def _row_text(row: list[str]) -> str:
    cells = [" ".join(cell.split()) for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return CELL_SEPARATOR.join(cells)


def delimiter_of(text: str) -> str:
    """Returns the character between the cells: the one that gives most rows the same number of cells.

    If several give as many, it is one that is between cells rather than in them, as in `Meier, Anna;1,50`.
    """
    lines = list(islice(_lines(text), SNIFFED_LINES))
    shares = {delimiter: _agreement(lines, delimiter)[0] for delimiter in DELIMITERS}
    best = max(shares.values())
    candidates = [delimiter for delimiter in DELIMITERS if shares[delimiter] == best]
    return max(candidates, key=lambda delimiter: not _is_within_cells(lines, delimiter)) if best else ","


def _is_within_cells(lines: list[str], delimiter: str) -> bool:
    """Whether most of these characters are followed by a blank, as in a sentence, or are in a number."""
    text = "".join(lines)
    inside = re.findall(rf"{re.escape(delimiter)} (?=\S)|(?<=\d){re.escape(delimiter)}(?=\d)", text)
    return 2 * len(inside) > text.count(delimiter)


def is_table(text: str) -> bool:
    """Whether every line has the same number of cells, at least two. For files whose name does not show their type."""
    lines = list(islice(_lines(text), SNIFFED_LINES))[: -1 if len(text) > 4096 else None]
    share, cells = _agreement(lines, delimiter_of(text))
    return len(lines) > 1 and share == 1 and cells > 1


def _lines(text: str) -> Iterable[str]:
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if text[start:end].strip():
            yield text[start : end + 1]
        start = end + 1


def _agreement(lines: list[str], delimiter: str) -> tuple[float, int]:
    """Returns the share of rows with the most frequent number of cells, and that number, or (0, 1) if none is split."""
    try:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter))
    except csv.Error:
        return 0, 1
    total = widths.total()
    widths.pop(1, None)
    if not widths:
        return 0, 1
    cells, rows = widths.most_common(1)[0]
    return rows / total, cells


register(CsvParser())
