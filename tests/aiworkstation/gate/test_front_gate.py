"""The front gate, with a small WSGI application behind it and real sockets before it."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any
from wsgiref.util import FileWrapper

import pytest

from aiworkstation.gate import front_gate, refusals, request_body, server, wsgi
from aiworkstation.gate.front_gate import ALLOWANCE_HEADER, ASKS_ALLOWANCE, FrontGate
from aiworkstation.gate.routes import route
from tests.support.web_server import serving

THREADS = 2
ROUTES = [
    route("/api/upload", 1000, takes_files=True, error_extras={"documents": []}),
    route("/expensive", 1000, is_expensive=True),
    route("(?s:.*)", 100_000),
]


class Application:
    """Answers with what it got. `/wait` waits until `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.arrived = threading.Semaphore(0)
        self.paths: list[str] = []
        self.allowance: int | None = 50

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if ASKS_ALLOWANCE in environ:
            headers = [] if self.allowance is None else [(ALLOWANCE_HEADER.decode(), str(self.allowance))]
            start_response("401 Unauthorized" if self.allowance is None else "204 No Content", headers)
            return [b"sign in first"]
        self.paths.append(path)
        if path in ("/wait", "/expensive"):
            self.arrived.release()
            self.go.wait(20)
        if path == "/large":
            start_response("200 OK", [])
            return [b"x" * 1_000_000 for _ in range(40)]
        if path == "/file":
            start_response("200 OK", [("Content-Length", "300000")])
            return FileWrapper(BytesIO(b"f" * 300_000))
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "application/json")])
        texts = {key: value for key, value in environ.items() if isinstance(value, str)}
        return [json.dumps({"body": len(body), **texts}).encode()]


@pytest.fixture
def application() -> Iterator[Application]:
    found = Application()
    yield found
    found.go.set()


@pytest.fixture
def port(application: Application) -> Iterator[int]:
    with serving(FrontGate(application, ROUTES, THREADS)) as port:
        yield port
        application.go.set()


def exchange(port: int, request: bytes, *, more: Iterable[bytes] = ()) -> bytes:
    """Sends the request, then `more` part by part, and returns all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        for part in more:
            connection.sendall(part)
        return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 20), b""))


def received_until_cut(connection: socket.socket) -> int:
    received = 0
    with suppress(ConnectionError):
        while block := connection.recv(1 << 20):
            received += len(block)
    return received


def post(path: str, body: bytes = b"", *, length: int | None = None, headers: str = "") -> bytes:
    size = len(body) if length is None else length
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {size}\r\n{headers}\r\n"
    ).encode() + body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def content(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def test_it_works(port: int) -> None:
    answer = exchange(port, post("/a%20b/%C3%BC?q=%31", b"hello", headers="X-Two: 1\r\nX-Two: 2\r\nX_Forged: 1\r\n"))
    got = json.loads(content(answer))
    assert status(answer) == 200
    assert (got["body"], got["CONTENT_LENGTH"], got["QUERY_STRING"]) == (5, "5", "q=%31")
    assert got["PATH_INFO"].encode("latin-1").decode() == "/a b/ü"
    assert got["HTTP_X_TWO"] == "1,2"
    assert "HTTP_X_FORGED" not in got


def test_a_chunked_body_gets_a_length(port: int) -> None:
    head = b"POST /api/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    got = json.loads(content(exchange(port, head, more=[b"3\r\nabc\r\n", b"2\r\nde\r\n", b"0\r\n\r\n"])))
    assert (got["body"], got["CONTENT_LENGTH"]) == (5, "5")


@pytest.mark.parametrize("head", ["Content-Length: 900000000\r\n", "Transfer-Encoding: chunked\r\n"])
def test_a_body_that_is_too_large_is_refused(port: int, application: Application, head: str) -> None:
    request = f"POST /api/x HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode()
    parts = [b"20000\r\n" + b"x" * 0x20000 + b"\r\n"] if "chunked" in head else [b"x" * 200_000]
    answer = exchange(port, request, more=[*parts, b"0\r\n\r\n"])
    assert status(answer) == 413
    assert json.loads(content(answer))["errors"][0]["code"] == "payload_too_large"
    assert application.paths == []


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_client_that_writes_first_sees_the_413(port: int, is_chunked: bool) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body: Any = iter([b"x" * 1_000_000] * 30) if is_chunked else b"x" * 30_000_000
    connection.request("POST", "/x", body=body, encode_chunked=is_chunked)
    assert connection.getresponse().status == 413


def test_a_dripping_body_is_cut(port: int, application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "GRACE_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(post("/x", b"a", length=1000))
        assert status(read_all(connection)) == 408
    assert application.paths == []


def test_dripping_bodies_take_no_thread(port: int) -> None:
    drips = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    try:
        for drip in drips:
            drip.sendall(post("/login", b"a", length=1000))
        assert status(exchange(port, post("/x"))) == 200
    finally:
        for drip in drips:
            drip.close()


def test_dripping_headers_are_cut(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\n")
        connection.sendall(b"X: ")
        assert received_until_cut(connection) == 0


def test_endless_headers_are_cut(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        with suppress(ConnectionError):
            connection.sendall(b"GET /x HTTP/1.1\r\n" + b"X-Long: " + b"a" * 10_000_000)
        assert received_until_cut(connection) == 0


def test_a_slow_reader_takes_no_thread_and_is_cut(
    port: int, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "READER_SECONDS", 0.5)
    readers = [socket.create_connection(("127.0.0.1", port)) for _ in range(THREADS * 2)]
    try:
        for reader in readers:
            reader.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        until = time.monotonic() + 30
        while len(application.paths) < len(readers):
            assert time.monotonic() < until
            time.sleep(0.01)
        assert status(exchange(port, post("/x"))) == 200
        time.sleep(1.5)
        assert received_until_cut(readers[0]) < 40_000_000
    finally:
        for reader in readers:
            reader.close()


def test_a_file_is_sent_whole(port: int) -> None:
    answer = exchange(port, b"GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert content(answer) == b"f" * 300_000


def test_a_large_answer_is_sent_whole(port: int) -> None:
    answer = exchange(port, b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert len(content(answer)) == 40_000_000


MULTIPART = "Content-Type: multipart/form-data; boundary=x\r\n"


def test_only_upload_pages_take_files(port: int, application: Application) -> None:
    assert status(exchange(port, post("/login", b"--x--", headers=MULTIPART))) == 415
    assert status(exchange(port, post("/api/upload", b"--x--", headers=MULTIPART))) == 200
    assert application.paths == ["/api/upload"]


def test_an_upload_is_read_after_sign_in_only(port: int, application: Application) -> None:
    application.allowance = None
    answer = exchange(port, post("/api/upload", length=10**9, headers=MULTIPART), more=[b"x" * 1000])
    assert status(answer) == 401
    assert content(answer) == b"sign in first"
    assert application.paths == []


@pytest.mark.parametrize("length", [51, 10**9])
def test_an_upload_over_the_allowance_is_refused(port: int, application: Application, length: int) -> None:
    answer = exchange(port, post("/api/upload", b"x" * 60, length=length, headers=MULTIPART))
    assert status(answer) == 413
    assert json.loads(content(answer))["documents"] == []
    assert application.paths == []


def test_no_client_can_ask_for_an_allowance_itself(port: int) -> None:
    answer = exchange(port, post("/x", headers="gate.asks_allowance: 1\r\nGate-Asks-Allowance: 1\r\n"))
    assert status(answer) == 200


def test_one_client_never_has_all_threads(port: int, application: Application) -> None:
    waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(THREADS * 2)]
    try:
        for connection in waiting:
            connection.sendall(post("/wait", headers="Authorization: Bearer one\r\n"))
        application.arrived.acquire(timeout=20)
        assert status(exchange(port, post("/x", headers="Authorization: Bearer two\r\n"))) == 200
    finally:
        application.go.set()
        for connection in waiting:
            connection.close()


def test_expensive_requests_never_have_all_threads(
    port: int, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_gate, "PLACE_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", port)) as first:
        first.sendall(post("/expensive", headers="Authorization: Bearer one\r\n"))
        application.arrived.acquire(timeout=20)
        second = exchange(port, post("/expensive", headers="Authorization: Bearer two\r\n"))
        assert status(second) == 429
        assert b"retry-after" in second.lower()
        assert status(exchange(port, post("/x", headers="Authorization: Bearer three\r\n"))) == 200
        application.go.set()


def test_an_exception_is_a_500(port: int, application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsgi, "answer", lambda *_: 1 / 0)
    assert status(exchange(port, post("/x"))) == 500


def test_no_answer_waits_for_a_full_disk(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "MIN_FREE", 10**18)
    monkeypatch.setattr(request_body, "CHECK_DISK_EVERY", 1000)
    assert status(exchange(port, post("/x", b"x" * 5000))) == refusals.NoSpace().status.value == 503
