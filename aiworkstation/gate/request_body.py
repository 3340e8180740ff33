"""Reads a request's body under a size and a deadline, before a thread is taken."""

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from typing import IO

from aiworkstation.gate.refusals import Disconnected, NoSpace, Receive, Scope, TooLarge, TooSlow

IN_MEMORY = 256 * 1024
"""Bytes of a body that are kept in memory. A larger one goes to a file without a name, which ends with the request."""
GRACE_SECONDS = 15.0
MIN_RATE = 16 * 1024
"""The slowest rate, in bytes a second. A body may take the grace and the time it needs at this rate."""
MIN_FREE = 512 * 1024 * 1024
"""Bytes of disk that bodies leave free."""
CHECK_DISK_EVERY = 16 * 1024 * 1024


@dataclass
class Body:
    file: IO[bytes]
    size: int = 0


def headers_of(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def has_body(scope: Scope) -> bool:
    return any(value != b"0" for value in headers_of(scope, b"content-length")) or bool(
        headers_of(scope, b"transfer-encoding")
    )


def stated_length(scope: Scope) -> int | None:
    """Returns the Content-Length. The server has checked that it is a number."""
    values = headers_of(scope, b"content-length")
    return int(values[0]) if values else None


def check_length(scope: Scope, limit: int) -> None:
    """Raises TooLarge before a byte is read, if the request says its length."""
    if (stated_length(scope) or 0) > limit:
        raise TooLarge(limit)


async def read_body(receive: Receive, limit: int) -> Body:
    """Raises TooLarge, TooSlow, NoSpace or Disconnected. Then nothing is kept."""
    body = Body(tempfile.SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115 - the body owns it
    try:
        await _fill(body, receive, limit)
    # Cancellation too: nobody else would close the file.
    except BaseException:
        body.file.close()
        raise
    body.file.seek(0)
    return body


async def _fill(body: Body, receive: Receive, limit: int) -> None:
    started = asyncio.get_running_loop().time()
    next_check = CHECK_DISK_EVERY
    more = True
    while more:
        try:
            async with asyncio.timeout_at(started + GRACE_SECONDS + body.size / MIN_RATE):
                event = await receive()
        except TimeoutError:
            raise TooSlow() from None
        if event["type"] == "http.disconnect":
            raise Disconnected()
        block = event.get("body", b"")
        body.size += len(block)
        # Counted too, because a chunked body states no length.
        if body.size > limit:
            raise TooLarge(limit)
        if body.size >= next_check:
            next_check += CHECK_DISK_EVERY
            if shutil.disk_usage(tempfile.gettempdir()).free < MIN_FREE:
                raise NoSpace()
        body.file.write(block)
        more = event.get("more_body", False)
