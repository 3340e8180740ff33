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
