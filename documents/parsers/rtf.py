"""Rich Text, of which old word processors and mail programs still write much."""

import re
from pathlib import Path

from striprtf.striprtf import rtf_to_text

from documents.errors import Corrupt, TooLarge
from documents.parsers import CELL_SEPARATOR, MAX_CHARACTERS, ParsedDocument, Report, register

_PICTURES = re.compile(r"[0-9a-fA-F\s]{2000,}")
"""Pictures, as hexadecimal digits: most of a file's size, and no text."""
_CODE_PAGE = re.compile(r"\\ansicpg(\d+)")
_MACHINE = re.compile(r"\{\\rtf1?\s*\\(ansi|mac|pca?)\b")
_MACHINES = {"ansi": "cp1252", "mac": "mac_roman", "pc": "cp437", "pca": "cp850"}
_TITLE = re.compile(r"\{\\title ([^\\{}]*)\}")


class RtfParser:
    formats = ("rtf",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        source = path.read_bytes().decode("latin-1").replace("\0", "")
        marked = _PICTURES.sub(" ", source)
        if len(marked) > MAX_CHARACTERS:
            raise TooLarge()
        try:
            text: str = rtf_to_text(marked, encoding=_encoding(source), errors="replace")  # type: ignore[no-untyped-call]
        except (LookupError, ValueError) as error:
            raise Corrupt() from error
        title = _TITLE.search(source)
        report(1, 1)
        return ParsedDocument(["\n".join(map(_line, text.splitlines()))], {"title": title[1]} if title else {})


def _encoding(source: str) -> str:
    found = _CODE_PAGE.search(source)
    machine = _MACHINE.match(source)
    return f"cp{found[1]}" if found else _MACHINES[machine[1] if machine else "ansi"]


def _line(line: str) -> str:
    """A table's row has a bar behind each cell."""
    if not line.endswith("|"):
        return line.rstrip()
    cells = [" ".join(cell.split()) for cell in line[:-1].split("|")]
    return CELL_SEPARATOR.join(cells) if any(cells) else ""


register(RtfParser())
