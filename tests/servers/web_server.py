"""A web server for tests of the HTTP client: the path decides what it does."""

import gzip
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers.local import Handler, LocalServer


class WebServer(LocalServer):
    """`given` is the answer to `/given`: its body and its headers."""

    given: tuple[bytes, dict[str, str]] = b"", {}

    def __init__(self) -> None:
        super().__init__(WebHandler)

    def allowed(self, *others: "WebServer") -> list[str]:
        """A value for HTTP_ALLOWED_PRIVATE_HOSTS."""
        return [server.place for server in (self, *others)]


class WebHandler(Handler):
    """Paths: `/echo`, `/text`, `/gzip` and so on, `/status/N`, `/hop/N` (redirects), `/redirect?to=…&status=…`."""

    server: WebServer

    def do_GET(self) -> None:
        request = self.read_request()
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        kind, _, rest = parts.path.strip("/").partition("/")
        if kind == "status":
            self.answer(int(rest), {"said": query.get("say", "no")}, {"retry-after": "3"})
        elif kind == "hop":
            target = f"/hop/{int(rest) - 1}" if int(rest) > 1 else "/echo"
            self.answer(302, {}, {"location": target})
        elif kind == "redirect":
            self.answer(int(query.get("status", "302")), {}, {"location": query["to"]})
        else:
            getattr(self, f"do_{kind}")(request)

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    def do_echo(self, request: dict[str, Any]) -> None:
        self.answer(200, request, {"x-echo": request["headers"].get("authorization", "")})

    def do_text(self, request: dict[str, Any]) -> None:
        self.answer(200, "Größe\0".encode("latin-1"), {"content-type": "text/plain; charset=latin-1"})

    def do_binary(self, request: dict[str, Any]) -> None:
        self.answer(200, bytes(range(256)), {"content-type": "image/png"})

    def do_notjson(self, request: dict[str, Any]) -> None:
        self.answer(200, b"{oh", {"content-type": "application/json"})

    def do_given(self, request: dict[str, Any]) -> None:
        self.answer(200, *self.server.given)

    def do_gzip(self, request: dict[str, Any]) -> None:
        self.answer(200, gzip.compress(b'{"a": 1}'), {"content-encoding": "gzip"})

    def do_bomb(self, request: dict[str, Any]) -> None:
        self.answer(200, gzip.compress(b"\0" * 200_000_000, 9), {"content-encoding": "gzip"})

    def do_big(self, request: dict[str, Any]) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(300):
            self.wfile.write(b"x" * 65_536)
        self.close_connection = True

    def do_slow(self, request: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        for _ in range(100):
            self.wfile.write(b"x")
            time.sleep(0.05)

    def do_cut(self, request: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b"only this")
        self.close_connection = True
