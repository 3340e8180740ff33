"""Mailboxes (mbox): each mail becomes a separate document. The mailbox's own text is the list of their subjects."""

import mmap
import re
from collections.abc import Iterator
from pathlib import Path

from documents.parsers import Member, ParsedDocument, Report, register
from documents.parsers.mail.eml import name_of

HEAD_BYTES = 20_000
MAX_LISTED = 10_000

_SEPARATOR = re.compile(
    rb"(?:\A|(?<=\n))From [^\n]*\d\d:\d\d[^\n]*\n(?=>?[A-Za-z][A-Za-z0-9-]*:)"
    rb"|(?:\A|(?<=\n\n)|(?<=\n\r\n))From \S+ +(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z][a-z] [^\n]*\d\d:\d\d[^\n]*\n"
)
"""The line before each mail, which has a date. A header follows, or a blank line precedes, unlike in a sentence that
begins with From."""
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)


def is_mailbox(path: Path, *, is_named_so: bool) -> bool:
    """Whether the file has the lines of two mails, or of one if its name says so: a single mail may have one too."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        first = _SEPARATOR.match(data)
        return first is not None and (is_named_so or _SEPARATOR.search(data, first.end()) is not None)


class MboxParser:
    formats = ("mbox",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            names = [
                name_of(data[start : min(end, start + HEAD_BYTES)], number)
                for number, (start, end) in zip(range(1, MAX_LISTED + 1), _mails(data), strict=False)
            ]
        report(1, 1)
        return ParsedDocument(["\n".join(names)])

    def members(self, path: Path) -> Iterator[Member]:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for number, (start, end) in enumerate(_mails(data), start=1):
                name = name_of(data[start : min(end, start + HEAD_BYTES)], number)
                yield Member(name, [_QUOTED_FROM.sub(rb"\1", data[start:end])])


def _mails(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Yields where each mail begins and ends."""
    start = None
    for line in _SEPARATOR.finditer(data):
        if start is not None:
            yield start, line.start()
        start = line.end()
    if start is not None:
        yield start, len(data)


register(MboxParser())
