"""Decompresses response bodies by RFC 9110 8.4, and as real servers deviate from it. Requests ask only for gzip."""

import zlib

from workflows.errors import PermanentError, StepError

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP = zlib.MAX_WBITS | 16
_ZLIB = zlib.MAX_WBITS
_RAW_DEFLATE = -zlib.MAX_WBITS
_BLOCK = 16 * 1024
"""Bytes that are unpacked at a time. zlib copies what is behind a member: a body of many members needs small ones."""
_NOT_SUPPORTED = {"br", "zstd", "compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip"}


class TooLarge(Exception):
    """The decompressed body has more than the allowed number of bytes."""


def decode(body: bytes, content_encoding: str, most: int) -> bytes:
    """Returns the body without its encodings, which were applied from left to right.

    Names that are not compressions, such as `utf-8`, are ignored: some servers name the charset here. Raises TooLarge
    before the result exceeds `most` bytes, and StepError.
    """
    for encoding in reversed(content_encoding.lower().split(",")):
        name = encoding.strip()
        if not body:
            return body
        if name in ("gzip", "x-gzip"):
            body = _gunzip(body, most)
        elif name == "deflate":
            body = _inflate(body, most)
        elif name in _NOT_SUPPORTED:
            raise PermanentError(
                f"The answer is compressed as {name}, which the request did not ask for and which is not supported.",
                code="unsupported_encoding",
            )
    return body


def _gunzip(body: bytes, most: int) -> bytes:
    """A gzip body may have several members (RFC 1952 2.2). Bytes behind the last one are padding."""
    whole = bytearray()
    end = 0
    while True:
        member, end = _unpacked(body, _GZIP, most - len(whole), start=end)
        whole += member
        if not body.startswith(_GZIP_MAGIC, end):
            return bytes(whole)


def _inflate(body: bytes, most: int) -> bytes:
    """`deflate` means zlib's format (RFC 9110 8.4.1.2), but some servers send it without zlib's header."""
    try:
        return _unpacked(body, _ZLIB, most)[0]
    except _Damaged:
        return _unpacked(body, _RAW_DEFLATE, most)[0]


class _Damaged(StepError):
    """The compressed answer is damaged."""

    code = "bad_answer"


def _unpacked(body: bytes, format: int, most: int, *, start: int = 0) -> tuple[bytes, int]:
    """Returns the decompressed bytes from `start` on, and the place where they end."""
    unpacker = zlib.decompressobj(format)
    unpacked = bytearray()
    end = start
    while not unpacker.eof:
        block = body[end : end + _BLOCK]
        if not block:
            raise StepError("The compressed answer ended early.", code="connection_cut")
        try:
            unpacked += unpacker.decompress(block, most + 1 - len(unpacked))
        except zlib.error as error:
            raise _Damaged from error
        if len(unpacked) > most:
            raise TooLarge
        end += len(block)
    return bytes(unpacked), end - len(unpacker.unused_data)
