"""Tables as text: comma, semicolon, tab or bar between the cells."""

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from documents.errors import Corrupt, TooLarge
from documents.parsers import CELL_SEPARATOR, MAX_CELLS, ParsedDocument, Report, Rows, register
from documents.parsers.decoding import read_text

DELIMITERS = ",;\t|"
SNIFFED_LINES = 50


class CsvParser:
    formats = ("csv", "tsv")

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """One page, whose text has a line for every row that is not blank."""
        csv.field_size_limit(sys.maxsize)
        text = read_text(path).replace("\0", "")
        try:
            rows = list(_rows(text))
        except csv.Error as error:
            raise Corrupt(f"The table cannot be read ({error}): save it again as CSV.") from error
        report(1, 1)
        return ParsedDocument([rows_text(rows)], rows=[rows])


def _rows(text: str) -> Iterator[list[str]]:
    """Those that hold anything. Raises TooLarge."""
    cells = 0
    for row in csv.reader(text.splitlines(keepends=True), delimiter=delimiter_of(text)):
        cells += len(row)
        if cells > MAX_CELLS:
            raise TooLarge(f"The table has over {MAX_CELLS} cells: split it into files of fewer rows.")
        if any(row):
            yield row


def rows_text(rows: Rows) -> str:
    """A line for every row; line breaks inside a cell become blanks."""
    return "\n".join(CELL_SEPARATOR.join(" ".join(cell.split()) for cell in row) for row in rows)


def delimiter_of(text: str) -> str:
    """The character between the cells: the one that gives most rows the same number of cells."""
    lines = list(islice(_lines(text), SNIFFED_LINES))
    return max(DELIMITERS, key=lambda delimiter: _agreement(lines, delimiter))


def is_table(text: str) -> bool:
    """Whether every line has the same number of cells, at least two: for files whose name does not say."""
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
    """The share of rows with the most frequent number of cells, and that number; (0, 1) if none is split."""
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
