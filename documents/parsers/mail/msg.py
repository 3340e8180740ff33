"""Mails of Outlook (.msg): headers and body as text, as in [MS-OXMSG]. Attachments become separate documents.

Each property of the mail is a stream whose name holds its number and its type. An attached mail is a folder of the
same kind: its text becomes a document, and its attachments become documents beside it.
"""

import re
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from olefile import OleFileIO

from documents.errors import Corrupt, Encrypted
from documents.parsers import Member, ParsedDocument, Report, register
from documents.parsers.decoding import decode
from documents.parsers.file_structures.ole import open_ole, stream
from documents.parsers.old_office.rtf import rtf_text
from documents.parsers.web.html import read_page

MAX_DEPTH = 5
MAX_ATTACHMENTS = 2_000
MAX_RTF = 50_000_000

# Numbers of properties ([MS-OXPROPS])
_CLASS, _SUBJECT, _BODY, _HTML, _RTF = 0x001A, 0x0037, 0x1000, 0x1013, 0x1009
_SENDER, _SENDER_SMTP, _SENDER_ADDRESS, _TO, _CC = 0x0C1A, 0x5D01, 0x0C1F, 0x0E04, 0x0E03
_DATES = (0x0039, 0x0E06, 0x3007)
"""When it was sent, received, or created."""
_CODE_PAGES = (0x3FDE, 0x3FFD)
_DATA, _LONG_NAME, _NAME, _DISPLAY_NAME, _CONTENT_ID = 0x3701, 0x3707, 0x3704, 0x3001, 0x3712
_STRING, _STRING_8, _BINARY, _OBJECT = 0x001F, 0x001E, 0x0102, 0x000D

_PROPERTIES = "__properties_version1.0"
_ATTACHED = "__attach_version1.0_"
_ENTRY = struct.Struct("<HHIq")
_TOP_HEADER, _INNER_HEADER = 32, 24
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".emz", ".wmz")
_UNSAFE = re.compile(r"[\\/:*?\"<>|]+")


class MsgParser:
    formats = ("msg",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        """Returns one page. The plain version of the body is used, unless it is empty."""
        with open_ole(path) as container:
            mail = _Mail(container)
            if mail.text_of(_CLASS).upper() == "IPM.NOTE.SMIME":
                raise Encrypted("The mail is encrypted: save a readable copy in Outlook, and upload that.")
            document = ParsedDocument([mail.page()])
            named = (("title", mail.text_of(_SUBJECT)), ("author", mail.sender()))
            document.metadata = {name: value for name, value in named if value}
            report(1, 1)
            return document

    def members(self, path: Path) -> Iterator[Member]:
        with open_ole(path) as container:
            yield from _Mail(container).attachments()


class _Mail:
    """A mail, at the top of the container or in a folder of it."""

    def __init__(self, container: OleFileIO, folder: tuple[str, ...] = (), depth: int = 0) -> None:
        self.container = container
        self.folder = folder
        self.depth = depth
        self.fixed = dict(self._fixed())

    def page(self) -> str:
        headers = (
            ("From", self.sender()),
            ("To", self.text_of(_TO)),
            ("Cc", self.text_of(_CC)),
            ("Date", self._date()),
            ("Subject", self.text_of(_SUBJECT)),
        )
        lines = "\n".join(f"{name}: {value}" for name, value in headers if value)
        return "\n\n".join(filter(None, [lines, self._body().replace("\r\n", "\n").strip()]))

    def sender(self) -> str:
        name, address = self.text_of(_SENDER), self.text_of(_SENDER_SMTP)
        if not address and "@" in (other := self.text_of(_SENDER_ADDRESS)):
            address = other
        if not address or address == name:
            return name or address
        return f"{name} <{address}>" if name else address

    def text_of(self, number: int) -> str:
        """Returns a property that is a text, without line breaks at its ends, or ""."""
        if data := self._stream(number, _STRING):
            return data.decode("utf-16-le", "replace").strip("\0\r\n ")
        return self._decoded(self._stream(number, _STRING_8)).strip("\0\r\n ")

    def attachments(self) -> Iterator[Member]:
        """Yields the attached files, and attached mails as texts. Pictures of the body's layout are left out."""
        for number, folder in enumerate(self._attached(), start=1):
            part = _Mail(self.container, folder, self.depth)
            name = part.text_of(_LONG_NAME) or part.text_of(_NAME) or part.text_of(_DISPLAY_NAME)
            inner = (*folder, f"__substg1.0_{_DATA:04X}{_OBJECT:04X}")
            if self.container.exists("/".join((*inner, _PROPERTIES))):
                yield from self._attached_mail(inner, name or f"attachment {number}")
            elif not (part.text_of(_CONTENT_ID) and name.lower().endswith(_PICTURES)):
                yield Member(name or f"attachment {number}", part.blocks())

    def blocks(self) -> Iterator[bytes]:
        yield self._stream(_DATA, _BINARY)

    def _attached_mail(self, folder: tuple[str, ...], name: str) -> Iterator[Member]:
        mail = _Mail(self.container, folder, self.depth + 1)
        title = _UNSAFE.sub(" ", mail.text_of(_SUBJECT) or name)[:100].strip()
        yield Member(f"{title}.txt", [mail.page().encode()])
        if mail.depth < MAX_DEPTH:
            yield from mail.attachments()

    def _attached(self) -> list[tuple[str, ...]]:
        place = len(self.folder)
        names = {
            tuple(entry[: place + 1])
            for entry in self.container.listdir(streams=True, storages=True)
            if tuple(entry[:place]) == self.folder and len(entry) > place and entry[place].startswith(_ATTACHED)
        }
        return sorted(names)[:MAX_ATTACHMENTS]

    def _body(self) -> str:
        if body := self.text_of(_BODY):
            return body
        if page := self._stream(_HTML, _BINARY):
            return read_page(page).text
        if page_text := self.text_of(_HTML):
            return read_page(page_text.encode(), "utf-8").text
        packed = self._stream(_RTF, _BINARY)
        return rtf_text(unpacked_rtf(packed)) if packed else ""

    def _decoded(self, data: bytes) -> str:
        """Decodes a text by the code page that the mail names."""
        for number in _CODE_PAGES:
            if page := self.fixed.get(number):
                encoding = "utf-8" if page == 65001 else f"cp{page}"
                try:
                    return data.decode(encoding)
                except (LookupError, UnicodeDecodeError):
                    continue
        return decode(data) or ""

    def _date(self) -> str:
        ticks = next((self.fixed[number] for number in _DATES if self.fixed.get(number)), 0)
        try:
            return (_EPOCH + timedelta(microseconds=ticks // 10)).strftime("%Y-%m-%d %H:%M UTC") if ticks else ""
        except OverflowError:
            return ""

    def _fixed(self) -> Iterator[tuple[int, int]]:
        """Yields the properties of a fixed length, which are in one stream after a header."""
        data = stream(self.container, *self.folder, _PROPERTIES)
        header = _INNER_HEADER if self.folder else _TOP_HEADER
        if self.folder and self.folder[-1].startswith(_ATTACHED):
            header = 8
        for place in range(header, len(data) - _ENTRY.size + 1, _ENTRY.size):
            kind, number, _, value = _ENTRY.unpack_from(data, place)
            yield number, value & 0xFFFFFFFF if kind == 3 else value

    def _stream(self, number: int, kind: int) -> bytes:
        return stream(self.container, *self.folder, f"__substg1.0_{number:04X}{kind:04X}")


_DICTIONARY = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor "
    rb"MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
"""What the compression takes as already written ([MS-OXRTFCP] 2.1.2.1)."""
_WINDOW = 4096


def unpacked_rtf(data: bytes) -> bytes:
    """Decompresses the Rich Text of a mail ([MS-OXRTFCP]). Raises Corrupt."""
    if len(data) < 16:
        raise Corrupt()
    _, size, kind, _ = struct.unpack_from("<IIII", data)
    if kind == 0x414C454D:  # MELA: not compressed
        return data[16 : 16 + size]
    if kind != 0x75465A4C or size > MAX_RTF:  # LZFu
        raise Corrupt()
    text = bytearray(_DICTIONARY)
    for token in _tokens(data[16:]):
        if len(text) >= len(_DICTIONARY) + size:  # a bomb goes on
            break
        if isinstance(token, int):
            text.append(token)
            continue
        place, length = token
        distance = (len(text) - place) % _WINDOW
        if distance == 0:  # it points at the place that comes next: the end
            break
        for _ in range(length):
            text.append(text[-distance] if distance <= len(text) else 0)
    return bytes(text[len(_DICTIONARY) : len(_DICTIONARY) + size])


def _tokens(data: bytes) -> Iterator[int | tuple[int, int]]:
    """Yields bytes, and references to earlier ones: a place in the window and a length."""
    place = 0
    while place < len(data):
        flags, place = data[place], place + 1
        for bit in range(8):
            if flags >> bit & 1:
                if place + 2 > len(data):
                    return
                pair = data[place] << 8 | data[place + 1]
                yield pair >> 4, (pair & 0x0F) + 2
                place += 2
            elif place < len(data):
                yield data[place]
                place += 1


register(MsgParser())
