"""Markdown, kept as it is written: readers and models understand its headings, lists and tables."""

import re
from pathlib import Path

from documents.parsers import ParsedDocument, Report, register
from documents.parsers.decoding import read_text

_HEADING = re.compile(r"^# +(.+)$", re.MULTILINE)


class MarkdownParser:
    formats = ("md",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        text = read_text(path)
        heading = _HEADING.search(text)
        report(1, 1)
        return ParsedDocument([text], {"title": heading[1].strip(" #")} if heading else {})


register(MarkdownParser())
