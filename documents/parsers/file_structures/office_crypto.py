"""Encrypted Office files. Excel encrypts some workbooks with its own password: anybody may open those."""

import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import msoffcrypto
import olefile
from msoffcrypto.exceptions import DecryptionError, FileFormatError, ParseError
from msoffcrypto.format.ooxml import OOXMLFile

from documents.errors import Corrupt, Encrypted
from documents.parsers.file_structures.ole import OLE_DAMAGE, open_ole

DEFAULT_PASSWORD = "VelvetSweatshop"  # noqa: S105 - published by Microsoft
_PACKAGE = "EncryptedPackage"
_WORKBOOKS = ("Workbook", "Book")
_FILE_PASS, _END = 0x2F, 0x0A
_RECORD = struct.Struct("<HH")


@contextmanager
def unlocked(path: Path) -> Iterator[Path]:
    """Yields the path of a file that can be read: the file itself, or a decrypted copy. Raises Encrypted."""
    if not _is_encrypted(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="unlocked-") as folder:
        copy = Path(folder) / "document"
        copy.write_bytes(_decrypted(path.read_bytes()))
        yield copy


def _is_encrypted(path: Path) -> bool:
    """Whether it is an encrypted file of the new formats, or an encrypted workbook of the old one."""
    with path.open("rb") as file:
        if file.read(len(olefile.MAGIC)) != olefile.MAGIC:
            return False
    try:
        with open_ole(path) as container:
            if container.exists(_PACKAGE):
                return True
            names = [name for name in _WORKBOOKS if container.exists(name)]
            return any(_has_password(container.openstream(name).read(1 << 16)) for name in names)
    except (Corrupt, *OLE_DAMAGE):
        return False  # the format's own parser says what is wrong


def _has_password(stream: bytes) -> bool:
    """Whether the workbook's first part has the record that says how it is encrypted."""
    place = 0
    while place + _RECORD.size <= len(stream):
        kind, size = _RECORD.unpack_from(stream, place)
        if kind == _FILE_PASS:
            return True
        if kind == _END:
            return False
        place += _RECORD.size + size
    return False


def _decrypted(data: bytes) -> bytes:
    """Decrypts with Excel's own password. Raises Encrypted if the file has another one."""
    copy = BytesIO()
    try:
        file = msoffcrypto.OfficeFile(BytesIO(data))
        if isinstance(file, OOXMLFile):
            file.load_key(password=DEFAULT_PASSWORD, verify_password=True)
        else:
            file.load_key(password=DEFAULT_PASSWORD)
        file.decrypt(copy)
    except (DecryptionError, FileFormatError, ParseError, *OLE_DAMAGE) as error:
        raise Encrypted() from error
    if not copy.getvalue():
        raise Encrypted()
    return copy.getvalue()
