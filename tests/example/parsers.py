"""A parser: subtitles, without their numbers and times. It runs in a child process: no Django here."""

import re
from pathlib import Path

from documents.parsers import ParsedDocument, Report, register
from documents.parsers.decoding import read_text

_CUE = re.compile(r"(?m)^\d+\n[\d:,]+ --> [\d:,]+\n")


class Subtitles:
    formats = ("srt",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        return ParsedDocument([_CUE.sub("", read_text(path))])


register(Subtitles())
