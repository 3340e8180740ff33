"""The container of old Office files (OLE2): a small file system of storages and streams."""

import struct
from collections.abc import Iterator
from pathlib import Path

import olefile

from documents.errors import Corrupt, TooLarge

MAX_STREAM_BYTES = 400_000_000

OLE_DAMAGE = (
    *(OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError, AssertionError, EOFError),
    *(struct.error, NotImplementedError),
)
"""What olefile, and libraries on top of it, raise while they read a damaged container."""


def open_ole(path: Path) -> olefile.OleFileIO:
    """Opens a container. Raises Corrupt."""
    try:
        return olefile.OleFileIO(str(path), raise_defects=olefile.DEFECT_FATAL)
    except OLE_DAMAGE as error:
        raise Corrupt() from error


def stream(container: olefile.OleFileIO, *names: str) -> bytes:
    """Returns the bytes of a stream, or b"" if there is none. Raises Corrupt and TooLarge."""
    path = "/".join(names)
    try:
        if not container.exists(path):
            return b""
        if container.get_size(path) > MAX_STREAM_BYTES:
            raise TooLarge()
        return bytes(container.openstream(path).read())
    except OLE_DAMAGE as error:
        raise Corrupt() from error


_SUMMARY = "\x05SummaryInformation"
_METADATA = {2: "title", 3: "subject", 4: "author", 5: "keywords"}
"""The numbers of properties ([MS-OLEPS] 3.1.1)."""
_CODE_PAGE, _SHORT, _STRING, _WIDE_STRING = 1, 2, 0x1E, 0x1F
MAX_PROPERTIES = 100


def ole_metadata(container: olefile.OleFileIO) -> dict[str, str]:
    """Returns title, author and the like, if the file has them.

    olefile reads these too, but as many as a damaged file says there are.
    """
    try:
        found = dict(_properties(stream(container, _SUMMARY)))
        encoding = _encoding(found)
        return {name: text for number, name in _METADATA.items() if (text := _text(found.get(number), encoding))}
    except (Corrupt, struct.error):
        return {}


def _properties(data: bytes) -> Iterator[tuple[int, tuple[int, bytes]]]:
    """Yields the properties of the first set by number, each with its type."""
    if len(data) < 48:
        return
    start = struct.unpack_from("<I", data, 44)[0]
    count = struct.unpack_from("<I", data, start + 4)[0]
    for place in range(start + 8, start + 8 + 8 * min(count, MAX_PROPERTIES), 8):
        number, offset = struct.unpack_from("<II", data, place)
        kind = struct.unpack_from("<I", data, start + offset)[0]
        if kind == _SHORT:
            yield number, (kind, data[start + offset + 4 : start + offset + 6])
        elif kind in {_STRING, _WIDE_STRING}:
            length = struct.unpack_from("<I", data, start + offset + 4)[0] * (2 if kind == _WIDE_STRING else 1)
            yield number, (kind, data[start + offset + 8 : start + offset + 8 + length])


def _encoding(found: dict[int, tuple[int, bytes]]) -> str:
    page = int.from_bytes(found.get(_CODE_PAGE, (0, b""))[1], "little")
    return {0: "cp1252", 65001: "utf-8", 1200: "utf-16-le", 10000: "mac_roman"}.get(page, f"cp{page}")


def _text(value: tuple[int, bytes] | None, encoding: str) -> str:
    if value is None:
        return ""
    kind, data = value
    try:
        text = data.decode("utf-16-le" if kind == _WIDE_STRING else encoding)
    except (LookupError, UnicodeDecodeError):
        text = data.decode("cp1252", "replace")
    return text.partition("\0")[0].strip()
