"""The container of old Office files (OLE2): a small file system of storages and streams."""

import struct
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


def ole_metadata(container: olefile.OleFileIO) -> dict[str, str]:
    """Returns title, author and the like, if the file has them."""
    try:
        found = container.get_metadata()
    except OLE_DAMAGE:
        return {}
    values = {name: _text(getattr(found, name, b""), found.codepage) for name in _METADATA}
    return {name: value for name, value in values.items() if value}


_METADATA = ("title", "author", "subject", "keywords")


def _text(value: bytes | str | None, codepage: int | None) -> str:
    if isinstance(value, str):
        return value.strip("\0 ")
    encoding = "utf-8" if codepage == 65001 else f"cp{codepage or 1252}"
    try:
        text = (value or b"").decode(encoding)
    except (LookupError, UnicodeDecodeError):
        text = (value or b"").decode("cp1252", "replace")
    return text.strip("\0 ")
