"""PowerPoint presentations: a page for every slide, also for hidden ones, with its speaker notes.

python-pptx (last release 2024) does not read the labels of charts, SmartArt and comments. The XML has them all.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from zipfile import ZipFile

from documents.errors import Corrupt
from documents.parsers import CELL_SEPARATOR, ParsedDocument, Report, register
from documents.parsers.file_structures.office_package import (
    core_properties,
    part,
    related,
    relationship_id,
    relationships,
    unseen,
    xml_part,
    xml_parts,
)
from documents.parsers.file_structures.safe_xml import Element, attribute, descendants, local_name
from documents.parsers.file_structures.zip_limits import open_zip
from documents.parsers.office.drawing import labels, line
from documents.parsers.office.emf import emf_texts

_HIDDEN = {"Fallback", "rPr", "pPr"}
"""A second copy of shapes, for older versions, and properties."""
_FIELDS_OF_NOTES = {"sldNum", "dt", "ftr", "hdr", "sldImg"}
"""Number, date, footer, header and picture of the notes page, the same on every page."""


class PptxParser:
    formats = ("pptx",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        with open_zip(path) as archive:
            slides = _slides(archive)
            document = ParsedDocument([], core_properties(archive))
            seen: set[str] = set()
            for done, slide in enumerate(slides, start=1):
                document.pages.append(_slide_text(archive, slide, done, document.warnings, seen))
                report(done, len(slides))
        if document.warnings and not any(document.pages):
            raise Corrupt()
        return document


def _slides(archive: ZipFile) -> list[str]:
    """Returns the parts of the slides in order, each once, as a bomb may name one many times."""
    for main in related(archive, "", "officeDocument"):
        targets = {found.id: found.target for found in relationships(archive, main)}
        ids = [relationship_id(item) for item in descendants(xml_part(archive, main), "sldId")]
        return list(dict.fromkeys(targets[id] for id in ids if id in targets))
    raise Corrupt("The file is a presentation without its main part: save it again in PowerPoint and upload that.")


def _slide_text(archive: ZipFile, slide: str, number: int, warnings: list[str], seen: set[str]) -> str:
    """Returns the slide's text. A damaged or missing slide becomes a warning, and the others are still read."""
    try:
        return "\n\n".join(_slide_blocks(archive, slide, warnings, seen))
    except Corrupt:
        warnings.append(f"Slide {number} ({slide}) is missing or damaged.")
        return ""


def _slide_blocks(archive: ZipFile, slide: str, warnings: list[str], seen: set[str]) -> Iterator[str]:
    yield from _blocks(xml_part(archive, slide))
    drawn = related(archive, slide, "chart", "chartEx", "diagramData", "comments")
    for root in xml_parts(archive, unseen(drawn, seen), warnings):
        yield from filter(None, ["\n".join(labels(root))])
    yield from filter(None, ["\n".join(_drawn_texts(archive, slide))])
    for root in xml_parts(archive, unseen(related(archive, slide, "notesSlide"), seen), warnings):
        if notes := "\n".join(_notes(root)):
            yield f"Notes: {notes}"


def _blocks(parent: Element) -> Iterator[str]:
    """Yields the texts of the shapes and tables below `parent`, in order."""
    for child in parent:
        name = local_name(child)
        if name == "txBody":
            yield from filter(None, ["\n".join(_paragraphs(child))])
        elif name == "tbl":
            yield from filter(None, ["\n".join(_rows(child))])
        elif name not in _HIDDEN:
            yield from _blocks(child)


def _paragraphs(body: Element) -> Iterator[str]:
    for paragraph in descendants(body, "p"):
        yield from filter(None, [line(paragraph).strip()])


def _rows(table: Element) -> Iterator[str]:
    for row in descendants(table, "tr"):
        cells = [" ".join(" ".join(_paragraphs(cell)).split()) for cell in descendants(row, "tc")]
        if any(cells):
            yield CELL_SEPARATOR.join(cells)


def _drawn_texts(archive: ZipFile, slide: str) -> Iterator[str]:
    """Yields the texts of embedded objects, from their pictures: on the slide, or in a VML drawing."""
    sources = [slide, *related(archive, slide, "vmlDrawing")]
    pictures = dict.fromkeys(name for source in sources for name in related(archive, source, "image"))
    for name in pictures:
        if name.lower().endswith(".emf"):
            with suppress(Corrupt):
                yield from filter(None, map(str.strip, emf_texts(part(archive, name))))


def _notes(root: Element) -> Iterator[str]:
    for shape in descendants(root, "sp"):
        kinds = {attribute(placeholder, "type") for placeholder in descendants(shape, "ph")}
        if not kinds & _FIELDS_OF_NOTES:
            yield from _paragraphs(shape)


register(PptxParser())
