"""Text in EMF pictures, which show old charts and embedded tables to programs that cannot open them."""

import struct
from collections.abc import Iterator

MAX_RECORDS = 100_000

_RECORD = struct.Struct("<II")
_TEXT_OUT = 84
_TEXT = struct.Struct("<II")
_TEXT_AT = 44
"""The place in a record of the number of characters and their offset ([MS-EMF] 2.3.5.8)."""


def emf_texts(data: bytes) -> Iterator[str]:
    """Yields the pieces of text in the order in which they are drawn. Other data than EMF has none."""
    place = 0
    for _ in range(MAX_RECORDS):
        if place + _RECORD.size > len(data):
            return
        kind, size = _RECORD.unpack_from(data, place)
        if kind == _TEXT_OUT and size >= _TEXT_AT + _TEXT.size and place + size <= len(data):
            count, start = _TEXT.unpack_from(data, place + _TEXT_AT)
            yield data[place + start : place + min(start + 2 * count, size)].decode("utf-16-le", "ignore")
        if size < _RECORD.size:
            return
        place += size
