"""Downloads into a file."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast
from uuid import uuid4

from aiworkstation_client.errors import BadAnswer
from aiworkstation_client.exchange import InThread, Operation, Request


def download(address: str, path: Path, *, sha256: str | None = None) -> Operation[Path]:
    """Writes to a file of another name first. So `path` never has only a part of the bytes."""
    part = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")

    def open_target() -> BinaryIO:
        return cast(BinaryIO, part.open("wb"))

    try:
        yield Request("GET", address, open_target=open_target)
        if sha256 is not None and (yield InThread(lambda: _digest(part))) != sha256:
            raise BadAnswer("The downloaded bytes are not those of the document.")
        part.replace(path)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    return path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
