"""Word documents: everything that a reader sees, including tracked insertions, text boxes, notes and comments.

The text is read from the XML, because paragraphs of python-docx leave out tracked insertions, text boxes and
footnotes. Properties and styles are read by python-docx. It does not open a file that lacks a part, so it gets only
the parts that it reads. Names are compared without their namespace, which differs in the strict variant.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from zipfile import ZipFile

from docx.oxml.exceptions import InvalidXmlError
from docx.oxml.styles import CT_Styles
from docx.styles.styles import Styles

from documents.errors import Corrupt
from documents.parsers import CELL_SEPARATOR, ParsedDocument, Report, register
from documents.parsers.decoding import decode
from documents.parsers.file_structures.office_package import (
    core_properties,
    docx_part,
    missing_part_warning,
    part,
    related,
    relationships,
    xml_part,
    xml_parts,
)
from documents.parsers.file_structures.safe_xml import Element, attribute, local_name
from documents.parsers.file_structures.zip_limits import open_zip
from documents.parsers.mail.eml import body_of
from documents.parsers.office.docx_lists import Lists
from documents.parsers.office.docx_runs import RunStyles, symbol
from documents.parsers.office.drawing import labels
from documents.parsers.signs.formulas import formula_text, joined, part_of
from documents.parsers.web.html import read_page

BLOCKS_PER_REPORT = 200
MAX_SPAN = 63
"""Word's limit for the columns of a table."""

_HIDDEN = {"del", "moveFrom", "instrText", "Fallback", "pPr", "rPr", "rt"}
"""Deleted and moved text, field codes, the second copy of a text box, properties."""
_CHARACTERS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_SEPARATORS = {"separator", "continuationSeparator", "continuationNotice"}
_DELETED = {"del", "cellDel"}
_BEFORE = ("header",)
_AFTER = ("footnotes", "endnotes", "comments", "footer")
_PASTED: dict[str, Callable[[bytes], str]] = {
    **dict.fromkeys(("htm", "html", "xhtml"), lambda data: read_page(data).text),
    **dict.fromkeys(("mht", "mhtml"), body_of),
    "txt": lambda data: decode(data) or "",
}
_DRAWN = {"chart": "id", "relIds": "dm"}
"""Charts and diagrams, with the attribute that names the relationship to their part."""


class DocxParser:
    formats = ("docx",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """Returns one page: headers, the body's paragraphs and tables in order, then notes, comments and footers."""
        with open_zip(path) as archive:
            main = next(iter(related(archive, "", "officeDocument")), "")
            if main not in archive.NameToInfo:
                raise Corrupt("The file is a Word document without its main part: save it again in Word.")
            root = xml_part(archive, main)
            text = _WordText(archive, main)
            blocks = [*text.of_parts(_BEFORE), *text.of_body(root, report), *text.of_parts(_AFTER)]
            metadata = core_properties(archive)
            if "title" not in metadata and (title := text.title(root)):
                metadata["title"] = title
            return ParsedDocument(["\n\n".join(blocks)], metadata, text.warnings)


class _WordText:
    """The blocks of a document in order: paragraphs, tables, and the text of text boxes."""

    def __init__(self, archive: ZipFile, main: str) -> None:
        self.archive = archive
        self.warnings: list[str] = []
        self.parts = {found.id: found for found in relationships(archive, main)}
        styles = self._root("styles")
        self.lists = Lists(self._root("numbering"), styles)
        self.runs = RunStyles(styles)

    def of_parts(self, kinds: Iterable[str]) -> list[str]:
        """Returns the blocks of parts outside the body, each text once, as sections repeat their headers."""
        names = [name for kind in kinds for name in self._named(kind)]
        roots = xml_parts(self.archive, names, self.warnings)
        return list(dict.fromkeys(block for root in roots for block in self.blocks(root)))

    def of_body(self, root: Element, report: Report) -> Iterator[str]:
        """Yields the blocks of the body. Progress counts its direct children."""
        body = next((child for child in root if local_name(child) == "body"), root)
        total = len(body)  # once: lxml counts the children at each call
        for done, child in enumerate(body, start=1):
            yield from self.block(child)
            if done % BLOCKS_PER_REPORT == 0 or done == total:
                report(done, total)

    def title(self, root: Element) -> str:
        """Returns the first paragraph in Word's style Title, whose id differs from language to language."""
        wanted = self._style_id("Title")
        for style in root.iter("{*}pStyle") if wanted else ():
            if attribute(style, "val") == wanted:
                return self._line(next(style.iterancestors("{*}p"), ()), []).strip()
        return ""

    def blocks(self, parent: Element) -> Iterator[str]:
        for child in parent:
            yield from self.block(child)

    def block(self, element: Element) -> Iterator[str]:
        """Yields the texts of a paragraph and of what is anchored in it, of a table, or inside a container."""
        name = local_name(element)
        if name == "p":
            anchored: list[Element] = []
            text = self._line(element, anchored).strip()
            label = self.lists.label(element)
            yield from filter(None, [text and label + text])
            for item in anchored:
                yield from self.blocks(item) if local_name(item) == "txbxContent" else self._drawn(item)
        elif name == "tbl":
            yield from filter(None, ["\n".join(self._rows(element))])
        elif name == "altChunk":
            yield from filter(None, [self._pasted(attribute(element, "id"))])
        elif name not in _HIDDEN and not _is_note_separator(element):
            yield from self.blocks(element)

    def _line(self, paragraph: Element, anchored: list[Element]) -> str:
        """Returns the text of a paragraph. Adds its text boxes, charts and diagrams to `anchored`."""
        return joined(self._inline(paragraph, anchored))

    def _inline(self, parent: Element, anchored: list[Element]) -> Iterator[str]:
        for child in parent:
            name = local_name(child)
            if name == "t":
                yield child.text or ""
            elif name in _CHARACTERS:
                yield _CHARACTERS[name]
            elif name == "sym":
                yield symbol(child)
            elif name == "oMath":
                yield formula_text(part_of(child))
            elif name == "txbxContent" or name in _DRAWN:
                anchored.append(child)
            elif name == "r":
                yield from self._run(child, anchored)
            elif name not in _HIDDEN:
                yield from self._inline(child, anchored)

    def _run(self, run: Element, anchored: list[Element]) -> Iterator[str]:
        looks = self.runs.looks_of(run)
        if looks is not None and looks.is_hidden:
            return
        pieces = self._inline(run, anchored)
        yield from pieces if looks is None else (looks.shown(piece) for piece in pieces)

    def _rows(self, table: Element) -> Iterator[str]:
        """Yields a line for every row with text. The blocks of a cell, also nested tables, follow one another."""
        for row in _descend(table, "tr"):
            cells: list[str] = []
            for cell in _descend(row, "tc"):
                cells += [" ".join(" ".join(self.blocks(cell)).split()), *[""] * (_span(cell) - 1)]
            if any(cells):
                yield CELL_SEPARATOR.join(cells)

    def _pasted(self, id: str) -> str:
        """Returns the text of an embedded web page or text file, which Word shows as part of the document."""
        name = self.parts[id].target if id in self.parts else ""
        read = _PASTED.get(name.rpartition(".")[2].lower())
        if read is not None:
            with suppress(Corrupt):
                return read(part(self.archive, name)).strip()
        self.warnings.append(missing_part_warning(name or id))
        return ""

    def _drawn(self, item: Element) -> Iterator[str]:
        """Yields the texts of a chart or diagram, once: a small file may draw the same one endlessly."""
        found = self.parts.pop(attribute(item, _DRAWN[local_name(item)]), None)
        for root in xml_parts(self.archive, [found.target] if found else [], self.warnings):
            yield from filter(None, ["\n".join(labels(root))])

    def _style_id(self, name: str) -> str:
        """Returns "" if there is no such style, or none that python-docx can read."""
        for root in xml_parts(self.archive, self._named("styles"), [], docx_part):
            with suppress(InvalidXmlError, KeyError, ValueError):
                if isinstance(root, CT_Styles) and name in Styles(root):
                    return str(Styles(root)[name].style_id)
        return ""

    def _root(self, kind: str) -> Element | None:
        return next(xml_parts(self.archive, self._named(kind), self.warnings), None)

    def _named(self, kind: str) -> list[str]:
        return [found.target for found in self.parts.values() if found.kind == kind]


def _descend(parent: Element, wanted: str) -> Iterator[Element]:
    """Yields the nearest `wanted` elements below that are not deleted, also inside content controls."""
    for child in parent:
        name = local_name(child)
        if name == wanted:
            if not any(local_name(each) in _DELETED for each in _properties(child)):
                yield child
        elif name not in _HIDDEN and name not in {"tblPr", "trPr", "tcPr"}:
            yield from _descend(child, wanted)


def _properties(item: Element) -> Iterator[Element]:
    """Yields the properties of a row or a cell."""
    for child in item:
        if local_name(child) in {"trPr", "tcPr"}:
            yield from child


def _span(cell: Element) -> int:
    """Returns how many columns the cell spans."""
    wide = next((attribute(each, "val") for each in _properties(cell) if local_name(each) == "gridSpan"), "")
    return min(int(wide), MAX_SPAN) if wide.isdecimal() else 1


def _is_note_separator(element: Element) -> bool:
    return attribute(element, "type") in _SEPARATORS


register(DocxParser())
