"""Markdown, kept as it is written: readers and models understand its headings, lists and tables.

Raised and lowered characters, which Markdown writes in HTML, are kept without their tags.
"""

import re
from pathlib import Path

from documents.parsers import ParsedDocument, Report, register
from documents.parsers.decoding import read_text
from documents.parsers.signs.raised import superscript

_RAISED = re.compile(r"<sup>([^<>\n]{1,100})</sup>", re.IGNORECASE)
_LOWERED = re.compile(r"<sub>([^<>\n]{1,100})</sub>", re.IGNORECASE)
_HEADING = re.compile(r"^# +(.+)$", re.MULTILINE)


class MarkdownParser:
    formats = ("md",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        text = _RAISED.sub(lambda match: superscript(match[1]), _LOWERED.sub(r"\1", read_text(path)))
        heading = _HEADING.search(text)
        report(1, 1)
        return ParsedDocument([text], {"title": heading[1].strip(" #")} if heading else {})


register(MarkdownParser())
