"""A request in the terms of httpx2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from aiworkstation_client.exchange import Request
from aiworkstation_client.watched_file import WatchedFile


@contextmanager
def http_arguments(base_url: str, request: Request, check: Callable[[], None]) -> Iterator[dict[str, Any]]:
    """Yields the arguments of httpx2's `stream`. `check` is called while a file is read, and may raise."""
    arguments = {
        "method": request.method,
        "url": base_url + request.path,
        "params": list(request.query) or None,
        "headers": dict(request.headers),
        "json": request.json,
    }
    if request.form is None:
        yield arguments
        return
    with closing(WatchedFile(request.form.open(), lambda position, is_end: check())) as file:
        files = {"file": (request.form.filename, file, "application/octet-stream")}
        yield arguments | {"files": files, "data": dict(request.form.fields)}
