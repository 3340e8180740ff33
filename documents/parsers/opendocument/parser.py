"""OpenDocument texts, presentations and drawings, in a package (.odt, .odp, .odg) or in one flat file (.fodt, .fodp).

A presentation has a page for each slide, with its notes. A drawing has a page for each of its pages.
"""

import posixpath
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

from documents.errors import Corrupt
from documents.parsers import CELL_SEPARATOR, ParsedDocument, Report, register
from documents.parsers.file_structures.office_package import xml_part
from documents.parsers.file_structures.safe_xml import Element, attribute, descendants, local_name, parse_xml
from documents.parsers.file_structures.zip_limits import is_zip, open_zip
from documents.parsers.opendocument.lists import Numbering
from documents.parsers.opendocument.text import HIDDEN, PARAGRAPHS, TextStyles, line, repeated
from documents.parsers.signs.formulas import formula_text, part_of

MAX_FORMULAS = 2_000
"""Limit for formulas that are files of their own. More are left out."""

_METADATA = {"title": "title", "creator": "author", "subject": "subject", "keyword": "keywords"}


class OpenDocumentParser:
    formats = ("odt", "odp", "odg")

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        if not is_zip(path):
            root = parse_xml(path.read_bytes())
            return _read(root, None, next(descendants(root, "meta"), None), _Texts(TextStyles(root)), report)
        with open_zip(path) as archive:
            root = xml_part(archive, "content.xml")
            styles, meta = (_optional_part(archive, name) for name in ("styles.xml", "meta.xml"))
            roots = [part for part in (styles, root) if part is not None]
            texts = _Texts(TextStyles(*roots, formula=_Formulas(archive).text_of))
            return _read(root, styles, meta, texts, report)


def _optional_part(archive: ZipFile, name: str) -> Element | None:
    return xml_part(archive, name) if name in archive.NameToInfo else None


class _Formulas:
    """The formulas of a package. Each is a file of MathML, which a frame names."""

    def __init__(self, archive: ZipFile) -> None:
        self.archive = archive
        self.left = MAX_FORMULAS

    def text_of(self, frame: Element) -> str:
        for item in descendants(frame, "object"):
            name = posixpath.normpath(posixpath.join("/", attribute(item, "href"), "content.xml")).lstrip("/")
            if self.left == 0 or name not in self.archive.NameToInfo:
                continue
            self.left -= 1
            try:
                root = xml_part(self.archive, name)
            except Corrupt:
                continue
            if local_name(root) == "math":
                return formula_text(part_of(root))
        return ""


def _read(
    root: Element, styles: Element | None, meta: Element | None, texts: "_Texts", report: Report
) -> ParsedDocument:
    Numbering(*(part for part in (styles, root) if part is not None)).write(root)
    header, footer = texts.margins(root if styles is None else styles)
    slides = list(_slides(root))
    pages: list[str]
    if local_name(root) == "math":
        pages = [formula_text(part_of(root))]
    elif slides:
        pages = ["\n\n".join(texts.of_slide(slide)) for slide in slides]
    else:
        pages = ["\n\n".join([*header, *texts.of_body(root), *footer])]
    report(len(pages), len(pages))
    return ParsedDocument(pages, _metadata(meta) if meta is not None else {})


def _slides(root: Element) -> Iterator[Element]:
    for body in descendants(root, "presentation", "drawing"):
        yield from descendants(body, "page")


class _Texts:
    """The texts of a document, with its styles."""

    def __init__(self, styles: TextStyles) -> None:
        self.styles = styles

    def of_slide(self, slide: Element) -> Iterator[str]:
        for child in slide:
            if local_name(child) != "notes":
                yield from self._block(child)
                continue
            if notes := "\n".join(self._blocks(child)):
                yield f"Notes: {notes}"

    def of_body(self, root: Element) -> Iterator[str]:
        for body in descendants(root, "body"):
            yield from self._blocks(body)

    def margins(self, root: Element) -> tuple[list[str], list[str]]:
        """Returns the texts of headers and footers, each once, as every page style repeats them."""
        found: dict[str, dict[str, None]] = {"header": {}, "footer": {}}
        for element in descendants(root, *found):
            found[local_name(element)].update(dict.fromkeys(self._blocks(element)))
        return list(found["header"]), list(found["footer"])

    def _blocks(self, parent: Element) -> Iterator[str]:
        for child in parent:
            yield from self._block(child)

    def _block(self, element: Element) -> Iterator[str]:
        """Yields the texts of a paragraph with its notes and frames, of a table, or of what is inside a container."""
        name = local_name(element)
        if name in PARAGRAPHS:
            anchored: list[Element] = []
            yield from filter(None, [line(element, anchored, self.styles).strip()])
            for item in anchored:
                yield from self._blocks(item)
        elif name == "table":
            yield from filter(None, ["\n".join(self._rows(element))])
        elif name == "frame" and (formula := self.styles.formula_of(element)):
            yield formula
        elif name not in HIDDEN:
            yield from self._blocks(element)

    def _rows(self, table: Element) -> Iterator[str]:
        """Yields a line for every row with text. A nested table is part of its cell."""
        for row in _nearest(table, "table-row"):
            cells = []
            for cell in _nearest(row, "table-cell", "covered-table-cell"):
                text = " ".join(" ".join(self._blocks(cell)).split())
                cells += [text] * (repeated(cell, "number-columns-repeated") if text else 1)
            if any(cells):
                yield CELL_SEPARATOR.join(cells)


def _nearest(parent: Element, *names: str) -> Iterator[Element]:
    for child in parent:
        if local_name(child) in names:
            yield child
        elif local_name(child) not in {"table-cell", "table-row"}:
            yield from _nearest(child, *names)


def _metadata(root: Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in root.iter():
        value = (element.text or "").strip()
        if value and (ours := _METADATA.get(local_name(element))):
            found[ours] = value
    return found


register(OpenDocumentParser())
