"""Texts of Excel sheets outside the cells: comments, text boxes, charts and diagrams."""

from collections.abc import Iterator
from zipfile import ZipFile

from documents.errors import Corrupt
from documents.parsers.file_structures.office_package import related, unseen, xml_parts
from documents.parsers.file_structures.safe_xml import Element, attribute, descendants
from documents.parsers.office.drawing import labels, line


def texts_of_sheet(archive: ZipFile, sheet: str, warnings: list[str], seen: set[str]) -> list[str]:
    """Returns the texts. Adds a warning if they are damaged. Parts in `seen` belong to another sheet."""
    try:
        return list(_sheet_texts(archive, sheet, warnings, seen))
    except Corrupt:
        warnings.append("The comments, text boxes and charts of a sheet are damaged and were left out.")
        return []


def _sheet_texts(archive: ZipFile, sheet: str, warnings: list[str], seen: set[str]) -> Iterator[str]:
    for root in xml_parts(archive, unseen(related(archive, sheet, "comments"), seen), warnings):
        yield from _comments(root)
    drawings = [*unseen(related(archive, sheet, "drawing"), seen)]
    drawn = [part for drawing in drawings for part in related(archive, drawing, "chart", "chartEx", "diagramData")]
    for root in xml_parts(archive, [*drawings, *unseen(drawn, seen)], warnings):
        yield from labels(root)


def _comments(root: Element) -> Iterator[str]:
    """Yields `B2: the comment on that cell`."""
    for comment in descendants(root, "comment"):
        if text := _text(comment).strip():
            yield f"{attribute(comment, 'ref')}: {text}"


def _text(comment: Element) -> str:
    return "".join(line(text) or text.text or "" for text in descendants(comment, "text"))
