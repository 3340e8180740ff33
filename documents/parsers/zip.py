"""ZIP archives: their members become separate documents. The archive's own text is the list of their names."""

import stat
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from documents.errors import Corrupt
from documents.parsers import Member, ParsedDocument, Report, register
from documents.parsers.decoding import decode
from documents.parsers.zip_limits import ZIP_DAMAGE, open_zip

BLOCK = 1 << 20

_UTF8_FLAG = 0x800
_SKIPPED_FOLDERS = ("__MACOSX/",)
_SKIPPED_NAMES = {".ds_store", "desktop.ini", "thumbs.db"}
"""Files that operating systems add."""


class ZipParser:
    formats = ("zip",)

    def parse(self, path: Path, report: Report) -> ParsedDocument:
        with open_zip(path) as archive:
            names = [_member_name(entry) for entry in _document_entries(archive)]
        report(1, 1)
        return ParsedDocument(["\n".join(names)])

    def members(self, path: Path) -> Iterator[Member]:
        with open_zip(path) as archive:
            for entry in _document_entries(archive):
                yield Member(_member_name(entry), _read_blocks(archive, entry))


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


def _member_name(entry: ZipInfo) -> str:
    """Decodes a member's name. Without the UTF-8 flag it may be in any encoding, but zipfile assumes cp437."""
    if entry.flag_bits & _UTF8_FLAG or entry.filename.isascii():
        return entry.filename
    return decode(entry.filename.encode("cp437", "replace")) or entry.filename


register(ZipParser())
