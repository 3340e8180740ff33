"""Plain text."""

from pathlib import Path

from documents.parsers import ParsedDocument, Report, register
from documents.parsers.decoding import read_text


class TextParser:
    formats = ("txt",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        text = read_text(path).replace("\f", "\n\n")
        report(1, 1)
        return ParsedDocument([text])


register(TextParser())
