"""Refuses PDF bombs: files that unpack to far more than a reader should hold. Runs before any reader."""

import mmap
import re
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from documents.errors import Bomb

MAX_STREAM_BYTES = 100_000_000
MAX_RATIO = 1032
"""The highest ratio of Deflate: a stream that is shorter than the limit by this factor cannot exceed it."""
BLOCK = 1 << 20
DICTIONARY_BYTES = 2_000

_STREAM = re.compile(rb"stream\r?\n")
_DEFLATED = re.compile(rb"/Fl(?:ateDecode)?\b")


def refuse_bombs(path: Path) -> None:
    """Raises TooComplex if a stream is a bomb. Pictures are skipped, as reading the text does not unpack them.

    Streams can be found even if the rest of the file is damaged. Those of encrypted files cannot be unpacked here: for
    them, the process's memory limit applies.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for match in _STREAM.finditer(data):
            if times := _count_deflate_filters(data, match.start()):
                _check(data, match.end(), times)


def _count_deflate_filters(data: mmap.mmap, start: int) -> int:
    """Counts the Deflate filters in the stream's dictionary, which precedes it. Returns 0 for pictures."""
    before = data[max(0, start - DICTIONARY_BYTES) : start]
    dictionary = before[max(0, before.rfind(b" obj")) :]
    return 0 if b"/Image" in dictionary else len(_DEFLATED.findall(dictionary))


def _check(data: mmap.mmap, start: int, times: int) -> None:
    end = data.find(b"endstream", start)
    end = len(data) if end < 0 else end
    if (end - start) * MAX_RATIO**times <= MAX_STREAM_BYTES:
        return
    blocks: Iterator[bytes] = (data[place : min(end, place + BLOCK)] for place in range(start, end, BLOCK))
    for _ in range(times):
        blocks = _inflate(blocks)
    with suppress(zlib.error):
        deque(blocks, maxlen=0)


def _inflate(blocks: Iterator[bytes]) -> Iterator[bytes]:
    decoder, total = zlib.decompressobj(), 0
    for block in blocks:
        packed = block
        while packed and not decoder.eof:
            unpacked = decoder.decompress(packed, BLOCK)
            packed = decoder.unconsumed_tail
            total += len(unpacked)
            if total > MAX_STREAM_BYTES:
                raise Bomb()
            yield unpacked
