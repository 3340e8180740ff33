"""OpenDocument texts and presentations (ODT, ODP). A presentation has a page for each slide, with its notes."""

import re
from collections.abc import Iterator
from pathlib import Path

from documents.parsers import CELL_SEPARATOR, ParsedDocument, Report, register
from documents.parsers.office_package import xml_part
from documents.parsers.opendocument_lists import Numbering
from documents.parsers.safe_xml import Element, attribute, descendants, local_name
from documents.parsers.zip_limits import open_zip

MAX_REPEATED = 100
"""Limit for blanks or cells that one element repeats."""

_BLANKS = re.compile(r"[ \t\r\n]+")
_PARAGRAPHS = {"p", "h"}
_HIDDEN = {"tracked-changes", "forms", "sequence-decls", "ruby-text", "settings", "variable-decls", "user-field-decls"}
"""Deleted text, and elements that are not text."""
_ANCHORED = {"note", "annotation", "frame", "custom-shape", "rect", "ellipse"}
"""Elements anchored in a paragraph. Their text follows it as separate blocks."""
_METADATA = {"title": "title", "creator": "author", "subject": "subject", "keyword": "keywords"}


class OpenDocumentParser:
    formats = ("odt", "odp")

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        with open_zip(path) as archive:
            root = xml_part(archive, "content.xml")
            styles = xml_part(archive, "styles.xml") if "styles.xml" in archive.NameToInfo else None
            metadata = _metadata(xml_part(archive, "meta.xml")) if "meta.xml" in archive.NameToInfo else {}
        Numbering(*(part for part in (styles, root) if part is not None)).write(root)
        header, footer = _margins(styles)
        slides = list(_slides(root))
        if slides:
            pages = ["\n\n".join(_slide_blocks(slide)) for slide in slides]
        else:
            pages = ["\n\n".join([*header, *_body(root), *footer])]
        report(len(pages), len(pages))
        return ParsedDocument(pages, metadata)


def _slides(root: Element) -> Iterator[Element]:
    for presentation in descendants(root, "presentation"):
        yield from descendants(presentation, "page")


def _slide_blocks(slide: Element) -> Iterator[str]:
    for child in slide:
        if local_name(child) != "notes":
            yield from _block(child)
            continue
        if notes := "\n".join(_blocks(child)):
            yield f"Notes: {notes}"


def _body(root: Element) -> Iterator[str]:
    for body in descendants(root, "body"):
        yield from _blocks(body)


def _margins(styles: Element | None) -> tuple[list[str], list[str]]:
    """Returns the texts of headers and footers, each once, as every page style repeats them."""
    found: dict[str, dict[str, None]] = {"header": {}, "footer": {}}
    for element in descendants(styles, *found) if styles is not None else ():
        kind = local_name(element)
        found[kind].update(dict.fromkeys(_blocks(element)))
    return list(found["header"]), list(found["footer"])


def _blocks(parent: Element) -> Iterator[str]:
    for child in parent:
        yield from _block(child)


def _block(element: Element) -> Iterator[str]:
    """Yields the texts of a paragraph with its notes and frames, of a table, or of what is inside a container."""
    name = local_name(element)
    if name in _PARAGRAPHS:
        anchored: list[Element] = []
        yield from filter(None, ["".join(_inline(element, anchored)).strip()])
        for item in anchored:
            yield from _blocks(item)
    elif name == "table":
        yield from filter(None, ["\n".join(_rows(element))])
    elif name not in _HIDDEN:
        yield from _blocks(element)


def _inline(parent: Element, anchored: list[Element]) -> Iterator[str]:
    """Yields the pieces of text in a paragraph. Adds its notes, comments and frames to `anchored`."""
    yield _collapsed(parent.text)
    for child in parent:
        name = local_name(child)
        if name in _ANCHORED:
            anchored.append(child)
        elif name == "s":
            yield " " * _repeated(child, "c")
        elif name in {"tab", "line-break"}:
            yield "\t" if name == "tab" else "\n"
        elif name and name not in _HIDDEN:
            yield from _inline(child, anchored)
        yield _collapsed(child.tail)


def _collapsed(text: str | None) -> str:
    """Replaces line ends and indentation of the file, which are not text, by one blank."""
    return _BLANKS.sub(" ", text or "")


def _rows(table: Element) -> Iterator[str]:
    """Yields a line for every row with text. A nested table is part of its cell."""
    for row in _nearest(table, "table-row"):
        cells = []
        for cell in _nearest(row, "table-cell", "covered-table-cell"):
            text = " ".join(" ".join(_blocks(cell)).split())
            cells += [text] * (_repeated(cell, "number-columns-repeated") if text else 1)
        if any(cells):
            yield CELL_SEPARATOR.join(cells)


def _nearest(parent: Element, *names: str) -> Iterator[Element]:
    for child in parent:
        if local_name(child) in names:
            yield child
        elif local_name(child) not in {"table-cell", "table-row"}:
            yield from _nearest(child, *names)


def _repeated(element: Element, name: str) -> int:
    value = attribute(element, name)
    return min(int(value), MAX_REPEATED) if value.isdecimal() else 1


def _metadata(root: Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in root.iter():
        value = (element.text or "").strip()
        if value and (ours := _METADATA.get(local_name(element))):
            found[ours] = value
    return found


register(OpenDocumentParser())
