"""A WSGI application for a real web server: it answers 413 and reads nothing of the body."""

from collections.abc import Iterable
from typing import Any

from aiworkstation.web.unread_bodies import UnreadBodies


def refuse(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("413 Content Too Large", [("Content-Type", "text/plain"), ("Content-Length", "9")])
    return [b"too large"]


application = UnreadBodies(refuse)
