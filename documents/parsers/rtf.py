"""Rich Text, of which old word processors and mail programs still write much."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from striprtf.striprtf import rtf_to_text

from documents.errors import Corrupt, TooComplex, TooLarge
from documents.parsers import CELL_SEPARATOR, MAX_CHARACTERS, ParsedDocument, Report, register

MAX_GROUPS = 2_000_000
"""In braces. Word writes about one for every 40 characters."""

_PICTURES = re.compile(r"[0-9a-fA-F\s]{2000,}")
"""Pictures, as hexadecimal digits: most of a file's size, and no text."""
_CODE_PAGE = re.compile(r"\\ansicpg(\d+)")
_MACHINE = re.compile(r"\{\\rtf1?\s*\\(ansi|mac|pca?)\b")
_MACHINES = {"ansi": "cp1252", "mac": "mac_roman", "pc": "cp437", "pca": "cp850"}
_DELETED = r"\{(?:\\[a-z]++(?:-?\d++)?+ ?+|\s)*?\\deleted(?![a-z0-9])"
_GROUPS = re.compile(
    rf"\\[\\{{}}]|(?P<deleted>{_DELETED})"
    r"|(?P<beside>\{(?:\\\*)?\\(?:annotation|footnote|shptxt|(?:header|footer)[lrf]?)\b ?)|[{}]"
)
"""Braces; those that begin text which was deleted but is kept, or which stands beside the others."""
_TITLE = re.compile(r"\{\\title ([^\\{}]*)\}")


@dataclass
class _Group:
    kind: str
    depth: int
    pieces: list[str] = field(default_factory=list)


class RtfParser:
    formats = ("rtf",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        source = path.read_bytes().decode("latin-1").replace("\0", "")
        marked = _PICTURES.sub(" ", source).replace(r"{\pntext", r"{\listtext")
        if len(marked) > MAX_CHARACTERS:
            raise TooLarge()
        if marked.count("{") > MAX_GROUPS:
            raise TooComplex()
        try:
            text: str = rtf_to_text(_told_apart(marked), encoding=_encoding(source), errors="replace")  # type: ignore[no-untyped-call]
        except (LookupError, ValueError) as error:
            raise Corrupt() from error
        title = _TITLE.search(source)
        report(1, 1)
        return ParsedDocument(["\n".join(map(_line, text.splitlines()))], {"title": title[1]} if title else {})


def _told_apart(source: str) -> str:
    """Without deleted text, and with notes, comments, text boxes, headers and footers, each once, behind the rest.

    striprtf reads the one and passes over the others.
    """
    open_groups = [_Group("", 0)]
    beside: list[str] = []
    depth = last = 0
    for match in _GROUPS.finditer(source):
        depth += match[0].startswith("{")
        if match.lastgroup:
            open_groups[-1].pieces.append(source[last : match.start()])
            open_groups.append(_Group(match.lastgroup, depth))
            last = match.end()
        elif match[0] == "}":
            if len(open_groups) > 1 and open_groups[-1].depth == depth:
                group = open_groups.pop()
                if group.kind == "beside":
                    beside.append("".join([*group.pieces, source[last : match.start()]]))
                last = match.end()
            depth -= 1
    open_groups[-1].pieces.append(source[last:])
    text = "".join(piece for group in open_groups for piece in group.pieces).rstrip().removesuffix("}")
    return "".join([text, *(rf"\par\pard{{{each}}}" for each in dict.fromkeys(beside)), "}"])


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
