"""Recognizes a PDF that does not begin with its header, and finds where it begins.

Downloads and mail programs put other bytes before a PDF: a byte order mark, blank lines, a web server's headers. In a
damaged file the header itself may be missing. Its objects and its end show that it is a PDF.
"""

import mmap
import re
from pathlib import Path

END_BYTES = 2_048
HEADER = b"%PDF-1.7\n%added before the first object\n"
"""Replaces a header that is missing. Without one PDFium does not open a file."""

_BLANKS = b"\xef\xbb\xbf\xfe\xff\0\t\n\x0c\r "
_HEADER = re.compile(rb"%PDF-\d")
_OBJECT = re.compile(rb"(?<![\w.])\d{1,10}[ \t\r\n]+\d{1,5}[ \t\r\n]+obj(?![A-Za-z])")
_END = re.compile(rb"startxref\s+\d+|%%EOF")


def begins_with_header(head: bytes) -> bool:
    """Whether nothing but blanks and a byte order mark are before the header."""
    return head.lstrip(_BLANKS).startswith(b"%PDF-")


def is_pdf_inside(path: Path, *, is_named_so: bool) -> bool:
    """Whether the file is a PDF behind other bytes, or one with a damaged beginning.

    A file with another name must also end like a PDF, as texts may quote one.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        has_end = _END.search(data, max(0, len(data) - END_BYTES)) is not None
        if is_named_so:
            return has_end or any(mark.search(data) for mark in (_HEADER, _OBJECT))
        return has_end and _OBJECT.search(data) is not None


def source_of(path: Path) -> Path | bytes:
    """Returns the path, or the file's bytes from the header on, with a new header if there is none."""
    with path.open("rb") as file:
        if file.read(5).startswith(b"%PDF-"):
            return path
    data = path.read_bytes()
    header, first = _HEADER.search(data), _OBJECT.search(data)
    # A header behind the first object is that of another PDF within this one.
    if header and (first is None or header.start() < first.start()):
        return data[header.start() :]
    return HEADER + data


def lost_its_header(source: Path | bytes) -> bool:
    """Whether `source_of` had to put a header before the file."""
    return isinstance(source, bytes) and source.startswith(HEADER)
