"""Bodies that the application does not read, because it refuses the request: too large, no credentials, no such page.

Many clients send the whole body before they read anything. If the server answers and closes the connection meanwhile,
they see a broken pipe instead of the answer. So the rest of the body is read first, within limits.
"""

import time
from collections.abc import Callable, Iterable
from typing import IO, Any

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]

MAX_BYTES = 200 * 1024 * 1024
MAX_SECONDS = 20.0
BLOCK = 65_536


class UnreadBodies:
    """WSGI middleware. It must be the outermost one that reads `wsgi.input`."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH")
        if not length and not environ.get("wsgi.input_terminated"):
            return self.application(environ, start_response)
        body = environ["wsgi.input"] = _CountedInput(environ["wsgi.input"])
        response = self.application(environ, start_response)
        body.skip_rest(int(length) if length else None)
        return response


class _CountedInput:
    """The server's stream. `count` is how many bytes of it were read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        block = self.stream.read(size)
        self.count += len(block)
        return block

    def readline(self, size: int = -1) -> bytes:
        line = self.stream.readline(size)
        self.count += len(line)
        return line

    def skip_rest(self, length: int | None) -> None:
        """Reads on to the end: `length` bytes, or the end of the stream."""
        end = time.monotonic() + MAX_SECONDS
        most = self.count + MAX_BYTES if length is None else min(length, self.count + MAX_BYTES)
        while self.count < most and time.monotonic() < end:
            if not self.read(min(BLOCK, most - self.count)):
                break
