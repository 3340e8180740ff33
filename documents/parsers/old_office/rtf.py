"""Rich Text Format (RTF), which old word processors and mail programs still write."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from striprtf.striprtf import rtf_to_text

from documents.errors import Corrupt, TooComplex, TooLarge
from documents.parsers import CELL_SEPARATOR, MAX_CHARACTERS, ParsedDocument, Report, register
from documents.parsers.old_office.rtf_signs import with_plain_signs

MAX_GROUPS = 2_000_000
"""Limit for groups in braces. Word writes about one for every 40 characters."""

_PICTURES = re.compile(r"[0-9a-fA-F\s]{2000,}")
"""Pictures as hexadecimal digits: most of a file's size, but no text."""
_CODE_PAGE = re.compile(r"\\ansicpg(\d+)")
_MACHINE = re.compile(r"\{\\rtf1?\s*\\(ansi|mac|pca?)\b")
_MACHINES = {"ansi": "cp1252", "mac": "mac_roman", "pc": "cp437", "pca": "cp850"}
_DELETED = r"\{(?:\\[a-z]++(?:-?\d++)?+ ?+|\s)*?\\deleted(?![a-z0-9])"
_GROUPS = re.compile(
    rf"\\[\\{{}}]|(?P<deleted>{_DELETED})"
    r"|(?P<outside>\{(?:\\\*)?\\(?:annotation|footnote|shptxt|(?:header|footer)[lrf]?)\b ?)|[{}]"
)
"""Braces, and those that begin deleted text or text outside the body, such as notes and headers."""
_TITLE = re.compile(r"\{\\title ([^\\{}]*)\}")


@dataclass
class _Group:
    kind: str
    depth: int
    pieces: list[str] = field(default_factory=list)


class RtfParser:
    formats = ("rtf",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        source = _source(path.read_bytes())
        title = _TITLE.search(source)
        report(1, 1)
        return ParsedDocument([_text(source)], {"title": title[1]} if title else {})


def rtf_text(data: bytes) -> str:
    """Returns the text of Rich Text. Raises Corrupt, TooComplex and TooLarge."""
    return _text(_source(data))


def _source(data: bytes) -> str:
    return data.decode("latin-1").replace("\0", "")


def _text(source: str) -> str:
    stripped = _PICTURES.sub(" ", source).replace(r"{\pntext", r"{\listtext")
    if len(stripped) > MAX_CHARACTERS:
        raise TooLarge()
    if stripped.count("{") > MAX_GROUPS:
        raise TooComplex()
    plain = _move_outside_text(with_plain_signs(stripped))
    try:
        text: str = rtf_to_text(plain, encoding=_encoding(source), errors="replace")  # type: ignore[no-untyped-call]
    except (LookupError, ValueError) as error:
        raise Corrupt() from error
    return "\n".join(map(_line, text.splitlines()))


def _move_outside_text(source: str) -> str:
    """Removes deleted text, and moves notes, comments, text boxes, headers and footers to the end, each once.

    striprtf would read the former and skip the latter.
    """
    open_groups = [_Group("", 0)]
    outside: list[str] = []
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
                if group.kind == "outside":
                    outside.append("".join([*group.pieces, source[last : match.start()]]))
                last = match.end()
            depth -= 1
    open_groups[-1].pieces.append(source[last:])
    text = "".join(piece for group in open_groups for piece in group.pieces).rstrip().removesuffix("}")
    return "".join([text, *(rf"\par\pard{{{each}}}" for each in dict.fromkeys(outside)), "}"])


def _encoding(source: str) -> str:
    found = _CODE_PAGE.search(source)
    machine = _MACHINE.match(source)
    return f"cp{found[1]}" if found else _MACHINES[machine[1] if machine else "ansi"]


def _line(line: str) -> str:
    """Formats a table's row, which has a bar after each cell."""
    if not line.endswith("|"):
        return line.rstrip()
    cells = [" ".join(cell.split()) for cell in line[:-1].split("|")]
    return CELL_SEPARATOR.join(cells) if any(cells) else ""


register(RtfParser())
