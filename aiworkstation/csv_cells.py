"""CSV for spreadsheets, as in RFC 4180, in UTF-8: no cell that a program would run as a formula."""

import csv
import re
from collections.abc import Iterable
from typing import Any

BOM = "\ufeff"
"""Without this mark at the beginning of the file, Excel assumes another encoding."""

_UNSEEN = r"[\s\x00-\x1f\u200b-\u200f\u2060\ufeff]*"
_BEGIN = r"[=+\-@＝＋－＠]"
_FIRST = re.compile(rf"[\t\r\n]|{_UNSEEN}{_BEGIN}")
_LATER = re.compile(rf"([\t\r\n;|]{_UNSEEN})(?={_BEGIN})")
"""Where spreadsheets see the beginning of a formula (OWASP, "CSV Injection"): at the start of a cell, and after what a
program may take for the start of another one, each also after spaces and invisible characters.
"""


class _Echo:
    """A file whose `write` returns the text, so that a csv.writer can be streamed."""

    def write(self, text: str) -> str:
        return text


_writer = csv.writer(_Echo())


def csv_line(values: Iterable[Any]) -> str:
    """Returns a row as text."""
    return str(_writer.writerow(map(_cell, values)))


def _cell(value: Any) -> Any:
    """Returns numbers unchanged, and text in a form that no spreadsheet runs."""
    if not isinstance(value, str):
        return value
    start = _FIRST.match(value)
    if start is None:
        return _LATER.sub(r"\1'", value)
    rest = _LATER.sub(r"\1'", value[start.end() :])
    return f"'{start[0]}{rest}"
