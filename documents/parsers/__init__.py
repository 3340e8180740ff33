"""Parsers: one file for each format, or for several that are alike.

To add a format, add a file to the fitting sub-package that ends with `register(...)`. All modules here are imported
when the first document is read. An app named in EXTRA_APPS adds parsers in its `parsers.py`, in the same way.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

Report = Callable[[int, int], None]
"""Reports progress: how many pages (or other units) are done, and of how many. Cheap enough to call for each page."""

MAX_PAGES = 20_000
"""Limit for one document, whatever its format calls a page."""
MAX_CHARACTERS = 20_000_000
"""Limit for the text of one document. War and Peace has three million."""
MAX_CELLS = 2_000_000
"""Limit for all tables of one document. Blank cells within the used area count."""

Rows = list[list[str]]
CELL_SEPARATOR = " | "
"""Separates the cells of a table's row in the text of a page."""


@dataclass
class ParsedDocument:
    """The content of a document.

    `pages` has an entry for every physical page, also for blank ones. A format without pages has one.
    `rows` is None unless the format is tabular. Then it has the cells of each page.
    `warnings` are sentences for the user about what could not be read.
    `needs_ocr` is how many pages could be read by text recognition only.
    """

    pages: list[str]
    metadata: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    rows: list[Rows | None] | None = None
    needs_ocr: int = 0


class Parser(Protocol):
    """Reads files of some formats. `parse` raises DocumentError and turns every error of a library into one."""

    @property
    def formats(self) -> tuple[str, ...]: ...

    def parse(self, path: Path, report: Report) -> ParsedDocument: ...


@dataclass(frozen=True)
class Member:
    """A document inside another. `name` is what its author chose. It may hold folders and unsafe characters.

    `blocks` are its bytes. Iterating over a damaged member raises Corrupt.
    """

    name: str
    blocks: Iterable[bytes]


@runtime_checkable
class Container(Protocol):
    """A parser whose files contain documents. Read each member before you ask for the next one."""

    def members(self, path: Path) -> Iterator[Member]: ...


_registry: dict[str, Parser] = {}


def register(parser: Parser) -> None:
    """Makes `parser` the one for its formats. Raises ValueError if another class reads one of them."""
    for name in parser.formats:
        known = _registry.get(name)
        if known is not None and type(known) is not type(parser):
            raise ValueError(f"two parsers read {name}: {type(known)!r} and {type(parser)!r}")
        _registry[name] = parser


@cache
def load_all() -> None:
    """Imports every module of this package and its sub-packages, so that their parsers register themselves.

    It takes a second and much memory. Only processes that read documents call it, directly or by the functions below:
    once in the process that forks them, so that they share the memory. The web server and the runners never do.
    """
    for module in pkgutil.walk_packages(__path__, prefix=f"{__name__}."):
        importlib.import_module(module.name)


def parser_for(format_name: str) -> Parser | None:
    load_all()
    return _registry.get(format_name)


def readable_formats() -> frozenset[str]:
    load_all()
    return frozenset(_registry)


def packages_of_parsers() -> frozenset[str]:
    """Returns the top packages of the registered parsers: ours, and those of extensions."""
    return frozenset(type(parser).__module__.partition(".")[0] for parser in _registry.values()) | {"documents"}
