"""A file that reports how much of it was read."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO

OnRead = Callable[[int, bool], None]
"""Gets the position in the file, and whether that is its end. What it raises ends the reading."""


class WatchedFile:
    """What httpx2 uses of a file: it reads it in chunks, goes back to its beginning, and asks for its size."""

    def __init__(self, file: BinaryIO, on_read: OnRead) -> None:
        self._file = file
        self._on_read = on_read

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._on_read(self._file.tell(), not chunk)
        return chunk

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
