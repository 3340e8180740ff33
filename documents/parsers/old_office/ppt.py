"""PowerPoint presentations of the old format (.ppt): PowerPoint 97 to 2003, as in [MS-PPT].

No maintained library reads them. The file is a tree of records. A presentation is saved in parts, and only the newest
of each part counts: a list at the end says where they are.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from documents.errors import Corrupt, Encrypted
from documents.parsers import MAX_PAGES, ParsedDocument, Report, register
from documents.parsers.file_structures.ole import ole_metadata, open_ole, stream

_STREAM, _USER = "PowerPoint Document", "Current User"
_HEADER = struct.Struct("<HHI")
_CONTAINER = 0x0F
# The types of records ([MS-PPT] 2.13.24)
_DOCUMENT, _SLIDE, _NOTES, _USER_EDIT, _PERSIST = 1000, 1006, 1008, 4085, 6002
_SLIDE_LIST, _SLIDE_PLACE, _TEXT_HEADER, _CHARS, _BYTES, _STRING = 4080, 1011, 3999, 4000, 4008, 4026
_ENCRYPTED_TOKEN, _CRYPT_SESSION = 0xF3D1C4DF, 12052
_SLIDES, _NOTES_LIST = 0, 2
MAX_EDITS = 1_000
MAX_DEPTH = 40
_SKIPPED = {4041, 4082, 4117, 5000, 11016}
"""Containers without text for a reader: handouts, links, and data for programs."""
_PLACEHOLDERS = {"*", "Click to edit Master title style"}


@dataclass(frozen=True)
class _Record:
    kind: int
    instance: int
    start: int
    end: int
    is_container: bool


class PptParser:
    formats = ("ppt",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """Returns a page for every slide, with its notes."""
        with open_ole(path) as container:
            data, user = stream(container, _STREAM), stream(container, _USER)
            if len(user) >= 16 and struct.unpack_from("<I", user, 12)[0] == _ENCRYPTED_TOKEN:
                raise Encrypted()
            presentation = _Presentation(data, user)
            pages = list(islice(presentation.pages(), MAX_PAGES + 1))  # one more: such a document is refused
            report(len(pages), len(pages))
            return ParsedDocument(pages, ole_metadata(container))


class _Presentation:
    def __init__(self, data: bytes, user: bytes) -> None:
        self.data = data
        self.places = dict(self._places(user))
        self.document = self._document()

    def pages(self) -> Iterator[str]:
        lists = {record.instance: record for record in self._children(self.document) if record.kind == _SLIDE_LIST}
        notes = self._notes(lists.get(_NOTES_LIST))
        for id, slide, outline in self._parts(lists.get(_SLIDES)):
            drawn = self._texts(slide) if slide is not None and slide.kind == _SLIDE else []
            texts = [*outline, *(text for text in drawn if text not in outline)]
            said = "\n".join(notes.get(id, []))
            yield "\n\n".join([*texts, *([f"Notes: {said}"] if said else [])])

    def _parts(self, listed: _Record | None) -> Iterator[tuple[int, _Record | None, list[str]]]:
        """Yields each slide's id, its part, and its texts in the outline. A bomb may name one part many times."""
        seen = set[int]()
        for id, reference, outline in self._slides(listed):
            place = self.places.get(reference, -1)
            if place not in seen:
                yield id, self._record(place), outline
            seen |= {place} - {-1}

    def _slides(self, listed: _Record | None) -> Iterator[tuple[int, int, list[str]]]:
        """Yields each slide's id, the number of its part, and its texts in the outline."""
        current: tuple[int, int, list[str]] | None = None
        for record in self._children(listed):
            if record.kind == _SLIDE_PLACE:
                if current:
                    yield current
                reference, _, _, id = struct.unpack_from("<IIII", self.data, record.start)
                current = (id, reference, [])
            elif current and record.kind in {_CHARS, _BYTES} and (text := self._text(record)):
                current[2].append(text)
        if current:
            yield current

    def _notes(self, listed: _Record | None) -> dict[int, list[str]]:
        """Returns the texts of notes by the id of their slide."""
        found: dict[int, list[str]] = {}
        for _, page, outline in self._parts(listed):
            if page is None or page.kind != _NOTES:
                continue
            atom = next((record for record in self._children(page) if record.kind == 1009), None)
            if atom is not None and atom.end - atom.start >= 4:
                slide = struct.unpack_from("<I", self.data, atom.start)[0]
                found[slide] = list(dict.fromkeys([*outline, *self._texts(page)]))
        return found

    def _places(self, user: bytes) -> Iterator[tuple[int, int]]:
        """Yields where the parts are. Each edit of the presentation lists what it has changed ([MS-PPT] 2.1.2)."""
        place = struct.unpack_from("<I", user, 16)[0] if len(user) >= 20 else self._last_edit()
        edits: list[_Record] = []
        while place and len(edits) < MAX_EDITS:
            edit = self._record(place)
            if edit is None or edit.kind != _USER_EDIT:
                if edits:
                    break
                place = self._last_edit()
                edit = self._record(place)
                if edit is None or edit.kind != _USER_EDIT:
                    raise Corrupt()
            edits.append(edit)
            place = struct.unpack_from("<I", self.data, edit.start + 8)[0]
        for edit in reversed(edits):
            listed = self._record(struct.unpack_from("<I", self.data, edit.start + 12)[0])
            if listed is not None and listed.kind == _PERSIST:
                yield from self._listed(listed)

    def _last_edit(self) -> int:
        """Finds the last edit in a file whose stream on the user is missing or wrong."""
        return max(0, self.data.rfind(struct.pack("<HH", 0, _USER_EDIT)))

    def _listed(self, record: _Record) -> Iterator[tuple[int, int]]:
        place = record.start
        while place + 4 <= record.end:
            head = struct.unpack_from("<I", self.data, place)[0]
            first, count = head & 0xFFFFF, head >> 20
            place += 4
            for number in range(min(count, (record.end - place) // 4)):
                yield first + number, struct.unpack_from("<I", self.data, place + 4 * number)[0]
            place += 4 * count

    def _document(self) -> _Record:
        records = (self._record(place) for place in self.places.values())
        for record in records:
            if record is not None and record.kind == _CRYPT_SESSION:
                raise Encrypted()
            if record is not None and record.kind == _DOCUMENT:
                return record
        raise Corrupt()

    def _record(self, place: int) -> _Record | None:
        if not 0 <= place <= len(self.data) - _HEADER.size:
            return None
        head, kind, size = _HEADER.unpack_from(self.data, place)
        start = place + _HEADER.size
        end = min(start + size, len(self.data))
        return _Record(kind, head >> 4, start, end, head & 0x0F == _CONTAINER)

    def _children(self, parent: _Record | None) -> Iterator[_Record]:
        place = parent.start if parent is not None else 0
        while parent is not None and place + _HEADER.size <= parent.end:
            record = self._record(place)
            if record is None:
                return
            yield record
            place = record.end

    def _texts(self, part: _Record, depth: int = 0) -> list[str]:
        """Returns the texts in a part of the presentation, in the order of its shapes."""
        found: list[str] = []
        for record in self._children(part):
            if record.kind in {_CHARS, _BYTES}:
                found += filter(None, [self._text(record)])
            elif record.is_container and depth < MAX_DEPTH and record.kind not in _SKIPPED:
                found += self._texts(record, depth + 1)
        return found

    def _text(self, record: _Record) -> str:
        data = self.data[record.start : record.end]
        text = data.decode("utf-16-le", "replace") if record.kind == _CHARS else data.decode("latin-1")
        text = text.replace("\r", "\n").replace("\x0b", "\n").strip()
        return "" if text in _PLACEHOLDERS else text


register(PptParser())
