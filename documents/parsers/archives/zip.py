"""ZIP archives: their members become separate documents. The archive's own text is the list of their names."""

import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from documents.errors import Corrupt
from documents.parsers import Member, ParsedDocument, Report, register
from documents.parsers.decoding import encoding_of
from documents.parsers.file_structures.zip_limits import ZIP_DAMAGE, open_zip

BLOCK = 1 << 20

_UTF8_FLAG = 0x800
_UNICODE_NAME = 0x7075
_UNICODE_NAME_HEAD = 5
"""An extra field, and its bytes before the name: a version and a checksum."""
_SKIPPED_FOLDERS = ("__MACOSX/",)
_SKIPPED_NAMES = {".ds_store", "desktop.ini", "thumbs.db"}
"""Files that operating systems add."""


class ZipParser:
    formats = ("zip",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        with open_zip(path) as archive:
            names = [name for _, name in _named_entries(archive)]
        report(1, 1)
        return ParsedDocument(["\n".join(names)])

    def members(self, path: Path) -> Iterator[Member]:
        with open_zip(path) as archive:
            for entry, name in _named_entries(archive):
                yield Member(name, _read_blocks(archive, entry))


def _read_blocks(archive: ZipFile, entry: ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(entry) as file:
            while block := file.read(BLOCK):
                yield block
    except ZIP_DAMAGE as error:
        raise Corrupt() from error


def _document_entries(archive: ZipFile) -> Iterator[ZipInfo]:
    for entry in archive.infolist():
        base = entry.filename.rpartition("/")[2].lower()
        is_link = stat.S_ISLNK(entry.external_attr >> 16)
        if base and not is_link and base not in _SKIPPED_NAMES and not entry.filename.startswith(_SKIPPED_FOLDERS):
            yield entry


def _named_entries(archive: ZipFile) -> Iterator[tuple[ZipInfo, str]]:
    """Yields the documents with their names.

    Without the UTF-8 flag, names may be in any encoding, but zipfile assumes cp437. All of them together show which.
    """
    entries = list(_document_entries(archive))
    unflagged = b"\n".join(entry.filename.encode("cp437", "replace") for entry in entries if not _is_clear(entry))
    encoding = (encoding_of(unflagged) if unflagged else None) or "cp437"
    for entry in entries:
        yield entry, _member_name(entry, encoding)


def _is_clear(entry: ZipInfo) -> bool:
    return bool(entry.flag_bits & _UTF8_FLAG) or entry.filename.isascii()


def _member_name(entry: ZipInfo, encoding: str) -> str:
    if unicode_name := _unicode_name(entry):
        return unicode_name
    return entry.filename if _is_clear(entry) else entry.filename.encode("cp437", "replace").decode(encoding, "replace")


def _unicode_name(entry: ZipInfo) -> str:
    """Returns the name in the extra field of Info-ZIP for names in UTF-8, or ""."""
    position = 0
    while position + 4 <= len(entry.extra):
        kind, size = struct.unpack_from("<HH", entry.extra, position)
        if kind == _UNICODE_NAME and size > _UNICODE_NAME_HEAD:
            return entry.extra[position + 4 + _UNICODE_NAME_HEAD : position + 4 + size].decode("utf-8", "replace")
        position += 4 + size
    return ""


register(ZipParser())
