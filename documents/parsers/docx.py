"""Word documents: everything a reader sees, tracked insertions, text boxes, notes and comments among it.

python-docx opens the package; the text is taken from the XML elements, because its paragraphs leave out
tracked insertions, text boxes and footnotes. Names are compared without their namespace, which differs in the
strict variant.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from docx.opc.exceptions import OpcError
from docx.opc.package import OpcPackage
from docx.opc.part import Part, XmlPart
from docx.oxml.parser import parse_xml

from documents.errors import Corrupt
from documents.parsers import CELL_SEPARATOR, ParsedDocument, Report, register
from documents.parsers.archive import open_zip
from documents.parsers.markup import judged

BLOCKS_PER_REPORT = 200

_HIDDEN = {"del", "moveFrom", "instrText", "Fallback", "pPr", "rPr", "rt"}
"""Deleted and moved text, field codes, the second copy of a text box, properties."""
_CHARACTERS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_SEPARATORS = {"separator", "continuationSeparator", "continuationNotice"}
_BEFORE = ("header",)
_AFTER = ("footnotes", "endnotes", "comments", "footer")
_METADATA = {"title": "title", "creator": "author", "subject": "subject", "keywords": "keywords"}

Element = Any
"""lxml's elements carry no types."""


class DocxParser:
    formats = ("docx",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """One page: headers, the body's paragraphs and tables in order, then notes, comments and footers."""
        open_zip(path).close()
        try:
            package = OpcPackage.open(str(path))
            main = _main_part(package)
            blocks = [
                *_side_blocks(main, _BEFORE),
                *_reported(_root(main), report),
                *_side_blocks(main, _AFTER),
            ]
            return ParsedDocument(["\n\n".join(blocks)], _metadata(package))
        except SyntaxError as error:  # the XML parser's
            raise judged(error) from error
        except (OpcError, BadZipFile, EOFError, KeyError, OSError, ValueError) as error:
            raise Corrupt() from error


def _main_part(package: OpcPackage) -> Part:
    """The target of the officeDocument relationship, whose address differs in the strict variant."""
    for relationship in package.rels.values():
        if relationship.reltype.endswith("/officeDocument") and not relationship.is_external:
            part: Part = relationship.target_part
            return part
    raise Corrupt("The file is a Word document without its main part: save it again in Word and upload that.")


def _side_blocks(main: Part, kinds: Iterable[str]) -> list[str]:
    """The blocks of the parts beside the body, each text once: sections repeat their headers."""
    parts: dict[str, list[Part]] = {kind: [] for kind in kinds}
    for relationship in main.rels.values():
        kind = relationship.reltype.rpartition("/")[2]
        if kind in parts and not relationship.is_external:
            parts[kind].append(relationship.target_part)
    found = (block for kind in parts for part in parts[kind] for block in _blocks(_root(part)))
    return list(dict.fromkeys(found))


def _root(part: Part) -> Element:
    return part.element if isinstance(part, XmlPart) else parse_xml(part.blob)


def _reported(root: Element, report: Report) -> Iterator[str]:
    """The body's blocks, with progress by its direct children."""
    body = next((child for child in root if _name(child) == "body"), root)
    total = len(body)  # once: lxml counts anew each time
    for done, child in enumerate(body, start=1):
        yield from _block(child)
        if done % BLOCKS_PER_REPORT == 0 or done == total:
            report(done, total)


def _blocks(parent: Element) -> Iterator[str]:
    for child in parent:
        yield from _block(child)


def _block(element: Element) -> Iterator[str]:
    """The texts of a paragraph and the text boxes anchored in it, of a table, or inside a container."""
    name = _name(element)
    if name == "p":
        boxes: list[Element] = []
        text = "".join(_inline(element, boxes)).strip()
        yield from filter(None, [text])
        for box in boxes:
            yield from _blocks(box)
    elif name == "tbl":
        yield from filter(None, ["\n".join(_rows(element))])
    elif name not in _HIDDEN and not _is_note_separator(element):
        yield from _blocks(element)


def _inline(parent: Element, boxes: list[Element]) -> Iterator[str]:
    """The pieces of text in a paragraph; text boxes on the way are put into `boxes`."""
    for child in parent:
        name = _name(child)
        if name == "t":
            yield child.text or ""
        elif name in _CHARACTERS:
            yield _CHARACTERS[name]
        elif name == "txbxContent":
            boxes.append(child)
        elif name not in _HIDDEN:
            yield from _inline(child, boxes)


def _rows(table: Element) -> Iterator[str]:
    """A line for every row that holds text, the blocks of a cell, nested tables too, one after another."""
    for row in _descend(table, "tr"):
        cells = (" ".join(" ".join(_blocks(cell)).split()) for cell in _descend(row, "tc"))
        line = CELL_SEPARATOR.join(cells)
        if line.strip(" |"):
            yield line


def _descend(parent: Element, wanted: str) -> Iterator[Element]:
    """The nearest `wanted` elements below, through content controls, tracked insertions and the like."""
    for child in parent:
        name = _name(child)
        if name == wanted:
            yield child
        elif name not in _HIDDEN and name not in {"tblPr", "trPr", "tcPr"}:
            yield from _descend(child, wanted)


def _is_note_separator(element: Element) -> bool:
    return any(_local(key) == "type" and value in _SEPARATORS for key, value in element.items())


def _name(element: Element) -> str:
    return _local(element.tag) if isinstance(element.tag, str) else ""


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _metadata(package: OpcPackage) -> dict[str, str]:
    for relationship in package.rels.values():
        if relationship.reltype.endswith("/core-properties") and not relationship.is_external:
            properties = {_name(child): (child.text or "").strip() for child in _root(relationship.target_part)}
            return {ours: properties[theirs] for theirs, ours in _METADATA.items() if properties.get(theirs)}
    return {}


register(DocxParser())
