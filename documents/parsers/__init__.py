"""Parsers: one file a format, found by the format's name.

A new format is a file here, which ends with `register(...)`, and a line in `_MODULES`. An app named in
EXTRA_APPS brings more in its `parsers.py`: importing it registers them.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

Report = Callable[[int, int], None]
"""Progress: how many of how many pages (or other units) are done. Cheap enough to call for each of them."""

MAX_PAGES = 20_000
"""Of a document, whatever its format calls them."""
MAX_CHARACTERS = 20_000_000
"""Of text in one document; War and Peace has three million."""
MAX_CELLS = 2_000_000
"""Of all tables in one document, blank ones within the used area too."""

Rows = list[list[str]]
CELL_SEPARATOR = " | "
"""Between the cells of a table's row in the text of a page."""


@dataclass
class ParsedDocument:
    """What a parser found.

    `pages` has an entry for every physical page, blank ones too; a format without pages has one.
    `rows` is as long as `pages` when the format is tabular (the cells of each page), otherwise None.
    `warnings` are sentences for the user: what could not be read although the rest was.
    `needs_ocr` is how many pages text recognition could read.
    """

    pages: list[str]
    metadata: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    rows: list[Rows | None] | None = None
    needs_ocr: int = 0


class Parser(Protocol):
    """Reads files of some formats. `parse` raises DocumentError, and lets no error of a library through."""

    @property
    def formats(self) -> tuple[str, ...]: ...

    def parse(self, path: Path, report: Report) -> ParsedDocument: ...


@dataclass(frozen=True)
class Member:
    """A document inside another. `name` may hold folders, and whatever else its maker chose.

    `blocks` are its bytes; a damaged member raises Corrupt on the way.
    """

    name: str
    blocks: Iterable[bytes]


@runtime_checkable
class Container(Protocol):
    """A parser whose files hold documents. Each member is read before the next one is asked for."""

    def members(self, path: Path) -> Iterator[Member]: ...


_MODULES = {
    "csv": "documents.parsers.csv",
    "docx": "documents.parsers.docx",
    "eml": "documents.parsers.eml",
    "epub": "documents.parsers.epub",
    "html": "documents.parsers.html",
    "json": "documents.parsers.json",
    "md": "documents.parsers.markdown",
    "odp": "documents.parsers.opendocument",
    "ods": "documents.parsers.spreadsheets",
    "odt": "documents.parsers.opendocument",
    "pdf": "documents.parsers.pdf",
    "pptx": "documents.parsers.pptx",
    "rtf": "documents.parsers.rtf",
    "tsv": "documents.parsers.csv",
    "txt": "documents.parsers.plain_text",
    "xls": "documents.parsers.spreadsheets",
    "xlsx": "documents.parsers.spreadsheets",
    "xml": "documents.parsers.xml",
    "zip": "documents.parsers.zip",
}
"""The file of each built-in format, imported when the first such document comes."""

_registry: dict[str, Parser] = {}


def register(parser: Parser) -> None:
    """Make `parser` the one for its formats. A format that another class has is an error."""
    for name in parser.formats:
        known = _registry.get(name)
        if known is not None and type(known) is not type(parser):
            raise ValueError(f"two parsers read {name}: {type(known)!r} and {type(parser)!r}")
        _registry[name] = parser


def parser_for(format_name: str) -> Parser | None:
    if format_name not in _registry and format_name in _MODULES:
        importlib.import_module(_MODULES[format_name])
    return _registry.get(format_name)


def load_all() -> None:
    """Imports every built-in parser: for a process that forks others, which then have them for nothing."""
    for name in _MODULES.values():
        importlib.import_module(name)


def readable_formats() -> frozenset[str]:
    return frozenset(_registry.keys() | _MODULES.keys())
