"""Word documents of the old format (.doc): Word 6 to 2003, as in [MS-DOC].

No maintained library reads them. The text lies in pieces, which a table lists in their order. Tables of properties say
which characters are deleted, hidden, raised or signs, and which marks end a row of a table. Styles are not read.
"""

import re
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from documents.errors import Corrupt, Encrypted
from documents.parsers import CELL_SEPARATOR, MAX_CHARACTERS, ParsedDocument, Report, register
from documents.parsers.file_structures.ole import ole_metadata, open_ole, stream
from documents.parsers.signs.raised import superscript
from documents.parsers.signs.symbol_fonts import is_symbol_font, symbols

MAX_PAGES_OF_PROPERTIES = 200_000
_MAIN = "WordDocument"
_WORD_97, _WORD_6 = 0xA5EC, 0xA5DC
_IS_ENCRYPTED, _TABLE_1, _IS_COMPLEX = 0x0100, 0x0200, 0x0004
_FLAGS, _FIRST, _LAST = 0x0A, 0x18, 0x1C
_COUNTS = 0x4C
"""The lengths of text, footnotes, headers, macros, comments, endnotes, and text boxes, in characters."""
_PLACES = 0x9A
"""The list of places in the table stream. Each is a start and a length."""
_CHARACTER_PROPERTIES, _PARAGRAPH_PROPERTIES, _FONTS, _PIECES = 12, 13, 15, 33
_PAGE = 512

_ROW = "\x1c"
"""Replaces the mark at the end of a table row, which is the same character as that of a cell."""
_CELL, _FIELD, _FIELD_RESULT, _FIELD_END, _SIGN = "\x07", "\x13", "\x14", "\x15", "("
_CHARACTERS = {
    **dict.fromkeys("\x0b\x0c\x0e", "\n"),
    **dict.fromkeys("\x01\x02\x03\x04\x05\x06\x08\x1f\0", ""),
    "\x1e": "-",
    "\xa0": " ",
}
_MARK = re.compile(r"([\x00-\x1f])")
# The codes of properties ([MS-DOC] 2.6.1, 2.6.2)
_DELETED, _HIDDEN, _RAISED, _SYMBOL, _ROW_END, _FONT = 0x0800, 0x083C, 0x2A48, 0x6A09, 0x2417, 0x4A4F
_SIZES = {0: 1, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2, 7: 3}


class DocParser:
    formats = ("doc",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """Returns one page: the text, then notes, comments, text boxes, headers and footers."""
        with open_ole(path) as container:
            main = stream(container, _MAIN)
            if len(main) < 0x200:
                raise Corrupt()
            kind, flags = struct.unpack_from("<H", main)[0], struct.unpack_from("<H", main, _FLAGS)[0]
            if flags & _IS_ENCRYPTED:
                raise Encrypted()
            if kind == _WORD_97:
                table = stream(container, "1Table" if flags & _TABLE_1 else "0Table")
                text = _Document(main, table).text()
            elif kind & 0xFF00 == _WORD_6 & 0xFF00:
                text = _word_6(main, is_complex=bool(flags & _IS_COMPLEX))
            else:
                raise Corrupt()
            report(1, 1)
            return ParsedDocument([text], ole_metadata(container))


@dataclass(frozen=True)
class _Piece:
    """A piece of the text: its characters from `first` to `last`, and where they are in the main stream."""

    first: int
    last: int
    place: int
    width: int

    def text(self, main: bytes) -> str:
        data = main[self.place : self.place + (self.last - self.first) * self.width]
        return data.decode("cp1252", "replace") if self.width == 1 else data.decode("utf-16-le", "replace")


@dataclass(frozen=True)
class _Looks:
    is_gone: bool = False
    is_raised: bool = False
    font: int = -1
    sign: str = ""


_PLAIN = _Looks()


class _Document:
    def __init__(self, main: bytes, table: bytes) -> None:
        self.main = main
        self.table = table
        self.pieces = list(self._pieces())
        if sum(piece.last - piece.first for piece in self.pieces) > MAX_CHARACTERS:
            raise Corrupt()
        self.fonts = list(self._fonts())
        self.looks = _Ranges(dict(self._properties(_CHARACTER_PROPERTIES)))
        self.row_ends = _Ranges(dict(self._properties(_PARAGRAPH_PROPERTIES)))

    def text(self) -> str:
        """Returns the parts of the text in the order of reading. Headers repeat in each section: each once."""
        counts = struct.unpack_from("<8i", self.main, _COUNTS)
        if min(counts) < 0:
            raise Corrupt()
        parts, first = [], 0
        for count in counts:
            parts.append(_tidied(self._characters(first, first + count)))
            first += count
        text, footnotes, headers, _, comments, endnotes, boxes, header_boxes = parts
        margins = dict.fromkeys(line for part in (headers, header_boxes) for line in part.split("\n") if line.strip())
        found = [text, footnotes, endnotes, boxes, comments, "\n".join(margins)]
        return "\n\n".join(filter(None, map(str.strip, found)))

    def _characters(self, first: int, last: int) -> Iterator[str]:
        """Yields the characters as a reader sees them."""
        for looks, run in groupby(self._marked(first, last), key=itemgetter(0)):
            text = "".join(character for _, character in run)
            if looks.sign:
                yield symbols(looks.sign, self._font(looks.font)) if text == _SIGN else text
            elif not looks.is_gone:
                yield from self._shown(text, looks)

    def _marked(self, first: int, last: int) -> Iterator[tuple[_Looks, str]]:
        """Yields the characters with their looks. Marks that end a row of a table become `_ROW`."""
        for piece in self.pieces:
            start, end = max(first, piece.first), min(last, piece.last)
            text = piece.text(self.main) if start < end else ""
            for place in range(start - piece.first, min(end - piece.first, len(text))):
                at = piece.place + place * piece.width
                is_row = text[place] == _CELL and self.row_ends.at(at).is_gone
                yield self.looks.at(at), _ROW if is_row else text[place]

    def _shown(self, text: str, looks: _Looks) -> str:
        font = self._font(looks.font)
        if not looks.is_raised and not is_symbol_font(font):
            return symbols(text)
        parts = _MARK.split(text)  # marks of cells and fields are no characters of the font
        shown = [part if _MARK.fullmatch(part) else symbols(part, font) for part in parts]
        return "".join(superscript(part) for part in shown) if looks.is_raised else "".join(shown)

    def _font(self, number: int) -> str:
        return self.fonts[number] if 0 <= number < len(self.fonts) else ""

    def _place(self, number: int) -> bytes:
        """Returns a structure of the table stream by its number in the list of places."""
        start, length = struct.unpack_from("<II", self.main, _PLACES + 8 * number)
        return self.table[start : start + length]

    def _pieces(self) -> Iterator[_Piece]:
        """Yields the pieces in the order of the text. Word wrote a document without a table of them in one piece."""
        table = _piece_table(self._place(_PIECES))
        if table is None:
            first, last = struct.unpack_from("<II", self.main, _FIRST)
            yield _Piece(0, max(0, last - first), first, 1)
            return
        count = (len(table) - 4) // 12
        for number in range(count):
            start, end = struct.unpack_from("<II", table, 4 * number)
            place = struct.unpack_from("<I", table, 4 * (count + 1) + 8 * number + 2)[0]
            is_narrow = bool(place & 0x40000000)
            if end < start:
                raise Corrupt()
            yield _Piece(start, end, (place & 0x3FFFFFFF) // (2 if is_narrow else 1), 1 if is_narrow else 2)

    def _fonts(self) -> Iterator[str]:
        """Yields the names of the fonts ([MS-DOC] 2.9.286)."""
        data = self._place(_FONTS)
        place = 4
        while place < len(data):
            size = data[place] + 1
            name = data[place + 40 : place + size].decode("utf-16-le", "ignore")
            yield name.partition("\0")[0]
            place += size

    def _properties(self, number: int) -> Iterator[tuple[int, _Looks]]:
        """Yields where properties begin in the main stream, and what they change ([MS-DOC] 2.8.5, 2.8.6)."""
        table = self._place(number)
        count = max(0, (len(table) - 4) // 8)
        for entry in range(min(count, MAX_PAGES_OF_PROPERTIES)):
            page = struct.unpack_from("<I", table, 4 * (count + 1) + 4 * entry)[0] & 0x3FFFFF
            data = self.main[page * _PAGE : (page + 1) * _PAGE]
            if len(data) == _PAGE:
                yield from _page_of_properties(data, is_of_paragraphs=number == _PARAGRAPH_PROPERTIES)


class _Ranges:
    """Properties by the place in the stream at which they begin."""

    def __init__(self, found: dict[int, _Looks]) -> None:
        self.starts = sorted(found)
        self.looks = [found[start] for start in self.starts]

    def at(self, place: int) -> _Looks:
        number = bisect_right(self.starts, place) - 1
        return self.looks[number] if number >= 0 else _PLAIN


def _page_of_properties(data: bytes, *, is_of_paragraphs: bool) -> Iterator[tuple[int, _Looks]]:
    count = data[-1]
    size = 13 if is_of_paragraphs else 1
    if 4 * (count + 1) + size * count > _PAGE:
        return
    for number in range(count):
        start, end = struct.unpack_from("<II", data, 4 * number)
        place = 2 * data[4 * (count + 1) + size * number]
        yield start, _looks(_list_of_properties(data, place, is_of_paragraphs)) if place else _PLAIN
        yield end, _PLAIN


def _list_of_properties(data: bytes, place: int, is_of_paragraphs: bool) -> bytes:
    """Returns the list at a place in a page. Lists of paragraphs count words, and begin with the style."""
    if not is_of_paragraphs:
        return data[place + 1 : place + 1 + data[place]]
    if data[place]:
        return data[place + 3 : place + 2 * data[place]]
    return data[place + 4 : place + 2 + 2 * data[place + 1]] if place + 1 < _PAGE else b""


def _looks(properties: bytes) -> _Looks:
    looks, place = _PLAIN, 0
    while place + 2 < len(properties):
        code = struct.unpack_from("<H", properties, place)[0]
        place += 2
        size = _SIZES.get(code >> 13, 0)
        if code >> 13 == 6:  # the size is in the first byte; that of a table's borders in two
            size = 1 + properties[place] if code != 0xD608 else 1 + struct.unpack_from("<H", properties, place)[0]
        value = properties[place : place + size]
        place += size
        looks = _changed(looks, code, value)
    return looks


def _changed(looks: _Looks, code: int, value: bytes) -> _Looks:
    if code in {_DELETED, _HIDDEN, _ROW_END} and value:
        return replace(looks, is_gone=looks.is_gone or bool(value[0] & 1))
    if code == _RAISED and value:
        return replace(looks, is_raised=value[0] == 1)
    if code == _FONT and len(value) == 2:
        return replace(looks, font=struct.unpack("<h", value)[0])
    if code == _SYMBOL and len(value) == 4:
        font, sign = struct.unpack("<hH", value)
        return replace(looks, font=font, sign=chr(sign))
    return looks


def _piece_table(data: bytes) -> bytes | None:
    """Returns the table of pieces, which follows the lists of properties that pieces use, or None."""
    place = 0
    while place + 5 <= len(data):
        if data[place] == 2:
            length = struct.unpack_from("<I", data, place + 1)[0]
            return data[place + 5 : place + 5 + length]
        if data[place] != 1:
            raise Corrupt()
        place += 3 + struct.unpack_from("<H", data, place + 1)[0]
    return None


def _word_6(main: bytes, *, is_complex: bool) -> str:
    """Returns the text of Word 6 and 95, which is in one piece unless the document was saved in a hurry."""
    if is_complex:
        raise Corrupt("The document was saved by Word 6 or 95 in pieces: open it in Word and save it as .docx.")
    first, last = struct.unpack_from("<II", main, _FIRST)
    if not first <= last <= len(main):
        raise Corrupt()
    return _tidied(main[first:last].decode("cp1252", "replace").replace(2 * _CELL, _CELL + _ROW))


def _tidied(characters: Iterable[str]) -> str:
    """Returns the text without field codes, with a line for every paragraph and every row of a table."""
    lines: list[str] = []
    cells: list[str] = []
    text: list[str] = []
    for character in _without_field_codes(characters):
        if character == _CELL:
            cells.append(" ".join("".join(text).split()))
        elif character == _ROW or (character == "\r" and not cells):
            lines.append(CELL_SEPARATOR.join(cells) if any(cells) else "".join(text).strip())
            cells = []
        else:
            text.append(" " if character == "\r" else _CHARACTERS.get(character, character))
            continue
        text = []
    lines += [CELL_SEPARATOR.join(filter(None, cells)), "".join(text).strip()]
    return "\n".join(filter(None, lines))


def _without_field_codes(characters: Iterable[str]) -> Iterator[str]:
    """Yields the characters without the codes of fields, such as PAGE, whose results follow them."""
    fields: list[bool] = []  # for each open field, whether its result has begun
    for character in characters:
        if character == _FIELD:
            fields.append(False)
        elif character == _FIELD_RESULT and fields:
            fields[-1] = True
        elif character == _FIELD_END and fields:
            fields.pop()
        elif all(fields) and character not in {_FIELD_RESULT, _FIELD_END}:
            yield character


register(DocParser())
