"""Texts of Excel sheets outside the cells: comments, text boxes and charts."""

from collections.abc import Iterator
from zipfile import ZipFile

from documents.errors import Corrupt
from documents.parsers.drawing import labels, pieces
from documents.parsers.office_package import related, relationships, unseen, xml_part, xml_parts
from documents.parsers.safe_xml import Element, attribute, descendants

_FOLDERS = ("xl/comments", "xl/drawings/")
"""Files without a part in these folders have no such texts. Most have none, and are not read further."""


def texts_outside_cells(archive: ZipFile, warnings: list[str]) -> dict[str, list[str]]:
    """Returns the texts by sheet name. Adds a warning if they are damaged."""
    if not any(name.startswith(_FOLDERS) for name in archive.NameToInfo):
        return {}
    found: dict[str, list[str]] = {}
    seen: set[str] = set()
    try:
        for name, part in _sheets(archive):
            found[name] = list(_sheet_texts(archive, part, warnings, seen))
    except Corrupt:  # the reader of the cells finds out whether the workbook itself is damaged
        warnings.append("The comments, text boxes and charts are damaged and were left out.")
    return found


def _sheets(archive: ZipFile) -> Iterator[tuple[str, str]]:
    """Yields the names of the sheets with their parts. Binary workbooks (.xlsb) do not list them in XML."""
    for main in related(archive, "", "officeDocument"):
        targets = {found.id: found.target for found in relationships(archive, main)}
        for sheet in descendants(xml_part(archive, main), "sheet") if main.endswith(".xml") else ():
            yield attribute(sheet, "name"), targets.get(attribute(sheet, "id"), "")


def _sheet_texts(archive: ZipFile, sheet: str, warnings: list[str], seen: set[str]) -> Iterator[str]:
    for root in xml_parts(archive, unseen(related(archive, sheet, "comments"), seen), warnings):
        yield from _comments(root)
    drawings = [*unseen(related(archive, sheet, "drawing"), seen)]
    charts = [chart for drawing in drawings for chart in related(archive, drawing, "chart")]
    for root in xml_parts(archive, [*drawings, *unseen(charts, seen)], warnings):
        yield from labels(root)


def _comments(root: Element) -> Iterator[str]:
    """Yields `B2: the comment on that cell`."""
    for comment in descendants(root, "comment"):
        if text := "".join(pieces(comment)).strip():
            yield f"{attribute(comment, 'ref')}: {text}"
