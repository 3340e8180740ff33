"""Request bodies without a Content-Length: chunked ones, and some of HTTP/2. Django and DRF read nothing of them."""

import sys
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import IO, Any

from django.conf import settings

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]


class ChunkedRequests:
    """WSGI middleware that gives such bodies a length. The server's stream must end at the end of the body."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        has_length = environ.get("CONTENT_LENGTH") or environ["REQUEST_METHOD"] in ("GET", "HEAD")
        if not has_length and environ.get("wsgi.input_terminated"):
            _give_length(environ)
        return self.application(environ, start_response)


def _give_length(environ: Environ) -> None:
    """Sets CONTENT_LENGTH. A form is read in parts to its end, so any length will do. Other bodies are read here."""
    if environ.get("CONTENT_TYPE", "").lower().startswith("multipart/"):
        environ["CONTENT_LENGTH"] = str(sys.maxsize)
        return
    # One byte more than allowed: Django then refuses the body with its own error.
    body = _read_up_to(environ["wsgi.input"], settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["wsgi.input"] = BytesIO(body)


def _read_up_to(stream: IO[bytes], limit: int) -> bytes:
    """Reads up to `limit` bytes. One call of `read` may return fewer bytes than there are."""
    body = bytearray()
    while block := stream.read(min(limit - len(body), 65_536)):
        body += block
    return bytes(body)
