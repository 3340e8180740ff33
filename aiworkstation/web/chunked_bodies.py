"""Bodies without a Content-Length, of which Django and DRF read nothing: chunked ones, and some of HTTP/2."""

import sys
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import IO, Any

from django.conf import settings

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]


class Chunked:
    """WSGI middleware that gives such bodies a length. The server's stream must end where the body does."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        has_length = environ.get("CONTENT_LENGTH") or environ["REQUEST_METHOD"] in ("GET", "HEAD")
        if not has_length and environ.get("wsgi.input_terminated"):
            _give_length(environ)
        return self.application(environ, start_response)


def _give_length(environ: Environ) -> None:
    """A form is read piece by piece, to its end. Anything else is as large as it is, or larger than allowed."""
    if environ.get("CONTENT_TYPE", "").lower().startswith("multipart/"):
        environ["CONTENT_LENGTH"] = str(sys.maxsize)
        return
    body = _read(environ["wsgi.input"], settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["wsgi.input"] = BytesIO(body)


def _read(stream: IO[bytes], limit: int) -> bytes:
    """At most `limit` bytes: one call may give fewer than there are."""
    body = bytearray()
    while piece := stream.read(min(limit - len(body), 65_536)):
        body += piece
    return bytes(body)
