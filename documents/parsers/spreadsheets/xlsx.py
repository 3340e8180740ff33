"""Sheets of Excel workbooks (.xlsx), read cell by cell, so that blank areas cost nothing.

calamine returns neither number formats nor raised characters, and fills every blank cell up to the last one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from zipfile import ZipFile

from documents.errors import Corrupt
from documents.parsers.file_structures.office_package import (
    Relationship,
    related,
    relationship_id,
    relationships,
    xml_part,
)
from documents.parsers.file_structures.safe_xml import Element, attribute, descendants, events_of, local_name
from documents.parsers.file_structures.zip_limits import ZIP_DAMAGE
from documents.parsers.office.drawing import line
from documents.parsers.signs.raised import as_drawn, superscript
from documents.parsers.spreadsheets.number_formats import BUILT_IN, GENERAL, shown, shown_text
from documents.parsers.spreadsheets.sheet_rows import CellLimit, Sheet, SheetRows

MAX_COLUMN = 16_384
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_LETTERS = re.compile(r"[A-Za-z]{1,3}")
_ON = {"1", "true", "on"}


@dataclass(frozen=True)
class SheetPart:
    """A sheet of the workbook: its name, the name of its part, and its kind, such as `worksheet`."""

    name: str
    part: str
    kind: str


@dataclass(frozen=True)
class _CellStyle:
    code: str
    font: str = ""
    is_raised: bool = False

    def text(self, value: str) -> str:
        return as_drawn(shown_text(value, self.code), self.font, is_raised=self.is_raised)


_NO_STYLE = _CellStyle(GENERAL)


class Workbook:
    """An open workbook. The parts for texts and styles are read when they are first needed."""

    def __init__(self, archive: ZipFile) -> None:
        self.archive = archive
        self.main = next(iter(related(archive, "", "officeDocument")), "")
        self._links = {found.id: found for found in relationships(archive, self.main)}

    @cached_property
    def _root(self) -> Element:
        return xml_part(self.archive, self.main)

    @property
    def is_binary(self) -> bool:
        """Whether it is a binary workbook (.xlsb), whose sheets are not XML."""
        return not self.main.lower().endswith(".xml")

    def sheets(self) -> list[SheetPart]:
        none = Relationship("", "", "")
        found = ((sheet, self._links.get(relationship_id(sheet), none)) for sheet in descendants(self._root, "sheet"))
        return [SheetPart(attribute(sheet, "name"), link.target, link.kind) for sheet, link in found]

    @cached_property
    def is_1904(self) -> bool:
        return any(attribute(each, "date1904") in _ON for each in descendants(self._root, "workbookPr"))

    @cached_property
    def texts(self) -> list[str]:
        """The texts that cells share."""
        names = [link.target for link in self._links.values() if link.kind == "sharedStrings"]
        return [_unescaped(line(item)) for name in names for item in elements(self.archive, name, "si")]

    @cached_property
    def styles(self) -> list[_CellStyle]:
        """The styles of cells, by the number that a cell has."""
        names = [link.target for link in self._links.values() if link.kind == "styles"]
        return [style for name in names for style in _styles(xml_part(self.archive, name))]

    def read(self, sheet: SheetPart, limit: CellLimit) -> Sheet:
        """Reads a sheet. Raises Corrupt, TooComplex and TooLarge."""
        rows = SheetRows(limit)
        if sheet.part not in self.archive.NameToInfo:
            raise Corrupt()
        for element in elements(self.archive, sheet.part, "row"):
            rows.add(dict(self._cells(element)))
        return Sheet(sheet.name, rows.table())

    def _cells(self, row: Element) -> Iterator[tuple[int, str]]:
        column = -1
        for cell in row:
            if local_name(cell) != "c":
                continue
            column = _column(cell.get("r") or "", column + 1)
            if column < MAX_COLUMN and (text := self._text(cell)):
                yield column, text

    def _text(self, cell: Element) -> str:
        kind, value = cell.get("t") or "n", ""
        for child in cell:
            name = local_name(child)
            if name == "v":
                value = child.text or ""
            elif name == "is" and kind == "inlineStr":
                return self._style(cell).text(_unescaped(line(child)))
        if not value.strip():
            return ""
        if kind == "n":
            return self._number(value, cell)
        if kind == "s":
            place = int(value) if value.strip().isdecimal() else -1
            return self._style(cell).text(self.texts[place]) if 0 <= place < len(self.texts) else ""
        if kind == "b":
            return "TRUE" if value.strip() in _ON else "FALSE"
        return value if kind in {"e", "d"} else self._style(cell).text(_unescaped(value))

    def _number(self, value: str, cell: Element) -> str:
        try:
            number = float(value)
        except ValueError:
            return value
        style = self._style(cell)
        text = shown(number, style.code, is_1904=self.is_1904)
        return superscript(text) if style.is_raised else text

    def _style(self, cell: Element) -> _CellStyle:
        place = cell.get("s") or ""
        return self.styles[int(place)] if place.isdecimal() and int(place) < len(self.styles) else _NO_STYLE


def elements(archive: ZipFile, name: str, wanted: str) -> Iterator[Element]:
    """Yields the elements with this name, and forgets each after it. Raises Corrupt and TooComplex."""
    try:
        file = archive.open(name)
    except (*ZIP_DAMAGE, KeyError) as error:
        raise Corrupt() from error
    with file:
        for _, element in events_of(file, ["{*}" + wanted]):
            yield element
            element.clear()
            while (before := element.getprevious()) is not None:
                element.getparent().remove(before)


def _styles(root: Element) -> Iterator[_CellStyle]:
    codes = dict(BUILT_IN)
    for entry in descendants(root, "numFmt"):
        if (number := attribute(entry, "numFmtId")).isdecimal():
            codes[int(number)] = attribute(entry, "formatCode")
    fonts = [dict(_font(font)) for fonts in descendants(root, "fonts") for font in fonts]
    for formats in descendants(root, "cellXfs"):
        for entry in formats:
            number, place = attribute(entry, "numFmtId"), attribute(entry, "fontId")
            font = fonts[int(place)] if place.isdecimal() and int(place) < len(fonts) else {}
            code = codes.get(int(number), GENERAL) if number.isdecimal() else GENERAL
            yield _CellStyle(code, font.get("name", ""), font.get("vertAlign") == "superscript")


def _font(font: Element) -> Iterator[tuple[str, str]]:
    for each in font:
        yield local_name(each), attribute(each, "val")


def _column(place: str, expected: int) -> int:
    """Returns the column of a cell such as B2, counted from 0. Cells without a place follow one another."""
    letters = _LETTERS.match(place)
    if not letters:
        return expected
    column = 0
    for letter in letters[0].upper():
        column = 26 * column + ord(letter) - 64
    return column - 1


def _unescaped(text: str) -> str:
    """Replaces characters that Excel writes as `_x000D_`, because XML cannot hold them."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text
