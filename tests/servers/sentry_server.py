"""A server that takes the envelopes of Sentry's clients, and keeps their events."""

import gzip
import json
from typing import Any

from tests.servers.local import Handler, LocalServer


class SentryServer(LocalServer):
    def __init__(self) -> None:
        super().__init__(EnvelopeHandler)
        self.events: list[dict[str, Any]] = []
        self.kinds: list[str] = []

    @property
    def dsn(self) -> str:
        return f"http://publickey@{self.place}/42"


class EnvelopeHandler(Handler):
    server: SentryServer

    def do_POST(self) -> None:
        """An envelope is a line of JSON, and for each item a line that describes it and its body."""
        self.read_request()
        assert self.path == "/api/42/envelope/"
        assert "sentry_key=publickey" in self.headers["x-sentry-auth"]
        body = gzip.decompress(self.raw) if self.headers.get("content-encoding") == "gzip" else self.raw
        _, *lines = body.split(b"\n")
        for head, item in zip(lines[::2], lines[1::2], strict=False):
            kind = json.loads(head)["type"]
            self.server.kinds.append(kind)
            if kind == "event":
                self.server.events.append(json.loads(item))
        self.answer(200, {})
