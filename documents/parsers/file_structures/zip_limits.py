"""Limits for ZIP containers (DOCX and its kind): checked by their directory before anything is unpacked."""

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zipfile import BadZipFile, ZipFile, ZipInfo

from documents.errors import Bomb, Corrupt, Encrypted, TooComplex, TooLarge

MAX_UNPACKED_BYTES = 400_000_000
MAX_ENTRIES = 20_000
MAX_RATIO = 200
RATIO_MATTERS_FROM_BYTES = 20_000_000
MAX_SMALL_PART_BYTES = 1_000_000

ENCRYPTED_FLAG = 0x1
ZIP_DAMAGE = (BadZipFile, EOFError, NotImplementedError, OSError, ValueError, zlib.error)
"""What zipfile raises while it reads a damaged entry."""


def open_zip(path: Path) -> ZipFile:
    """Opens an archive whose directory is within the limits. Raises Corrupt, Encrypted, TooLarge or TooComplex.

    An entry cannot unpack to more than the directory declares, because ZipFile reads no further.
    """
    try:
        archive = ZipFile(path)
    except (BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise Corrupt() from error
    try:
        check_directory(archive.infolist())
    except BaseException:
        archive.close()
        raise
    archive.NameToInfo = PartNames(archive.infolist())
    return archive


class PartNames(dict[str, ZipInfo]):
    """The parts of an archive by name, also for a name in another spelling.

    Some programs write `\\` for `/`, `%20` for a blank, or a name in another case than where they refer to it. Office
    opens such files.
    """

    def __init__(self, entries: Iterable[ZipInfo]) -> None:
        super().__init__((entry.filename, entry) for entry in entries)
        self._names = {plain_name(name): name for name in reversed(self)}

    def known(self, name: str) -> str:
        """Returns the name as the archive spells it, or as it is given if there is no such part."""
        return name if super().__contains__(name) else self._names.get(plain_name(name), name)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and plain_name(name) in self._names)

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(self.known(name), default)

    def __getitem__(self, name: str) -> ZipInfo:
        return super().__getitem__(self.known(name))


def plain_name(name: str) -> str:
    """Returns the name of a part without what programs spell differently."""
    return unquote(name).replace("\\", "/").lstrip("/").casefold()


def is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def check_directory(entries: list[ZipInfo]) -> None:
    """Refuses encrypted archives and bombs by what the directory declares."""
    if any(entry.flag_bits & ENCRYPTED_FLAG for entry in entries):
        raise Encrypted()
    if len(entries) > MAX_ENTRIES:
        raise TooComplex(
            f"The file holds {len(entries)} parts, more than {MAX_ENTRIES}: split it and upload the parts."
        )
    unpacked = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if unpacked > RATIO_MATTERS_FROM_BYTES and unpacked > MAX_RATIO * packed:
        raise Bomb()
    if unpacked > MAX_UNPACKED_BYTES:
        raise TooLarge(f"The file unpacks to {unpacked // 1_000_000} MB: split it and upload the parts.")


def small_part(archive: ZipFile, name: str) -> bytes:
    """Returns a part that is small in any ordinary file, or b"" if it is missing. Raises Corrupt and TooComplex."""
    try:
        entry = archive.getinfo(name)
    except KeyError:
        return b""
    if entry.file_size > MAX_SMALL_PART_BYTES:
        raise TooComplex()
    try:
        return archive.read(entry)
    except ZIP_DAMAGE as error:
        raise Corrupt() from error
