"""What Excel shows beside a sheet's cells: comments, text boxes and charts."""

from collections.abc import Iterator
from zipfile import ZipFile

from documents.errors import Corrupt
from documents.parsers.drawing import labels, pieces
from documents.parsers.office_package import related, relationships, unseen, xml_part, xml_parts
from documents.parsers.safe_xml import Element, attribute, descendants

_FOLDERS = ("xl/comments", "xl/drawings/")
"""Without a part in these there is nothing: most files have none, and are not looked at further."""


def texts_beside(archive: ZipFile, warnings: list[str]) -> dict[str, list[str]]:
    """By the sheet's name. Damage is told in `warnings`."""
    if not any(name.startswith(_FOLDERS) for name in archive.NameToInfo):
        return {}
    found: dict[str, list[str]] = {}
    seen: set[str] = set()
    try:
        for name, part in _sheets(archive):
            found[name] = list(_texts(archive, part, warnings, seen))
    except Corrupt:  # whether there is a workbook at all, is for the reader of the cells to judge
        warnings.append("What stands beside the cells is damaged: comments, text boxes and charts were left out.")
    return found


def _sheets(archive: ZipFile) -> Iterator[tuple[str, str]]:
    """The names of the sheets, and their parts. Workbooks of the binary kind name theirs in no XML."""
    for main in related(archive, "", "officeDocument"):
        targets = {found.id: found.target for found in relationships(archive, main)}
        for sheet in descendants(xml_part(archive, main), "sheet") if main.endswith(".xml") else ():
            yield attribute(sheet, "name"), targets.get(attribute(sheet, "id"), "")


def _texts(archive: ZipFile, sheet: str, warnings: list[str], seen: set[str]) -> Iterator[str]:
    for root in xml_parts(archive, unseen(related(archive, sheet, "comments"), seen), warnings):
        yield from _comments(root)
    drawings = [*unseen(related(archive, sheet, "drawing"), seen)]
    charts = [chart for drawing in drawings for chart in related(archive, drawing, "chart")]
    for root in xml_parts(archive, [*drawings, *unseen(charts, seen)], warnings):
        yield from labels(root)


def _comments(root: Element) -> Iterator[str]:
    """`B2: what was written at that cell`."""
    for comment in descendants(root, "comment"):
        if text := "".join(pieces(comment)).strip():
            yield f"{attribute(comment, 'ref')}: {text}"
