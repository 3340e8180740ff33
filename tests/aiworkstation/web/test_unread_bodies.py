"""Requests that are answered before their body is read."""

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest

from aiworkstation import BASE_DIR
from aiworkstation.web.unread_bodies import UnreadBodies

SIZE = 30_000_000


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of the web server that `manage.py run` starts, with an application that refuses everything."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--port", str(port), "--no-ws"]
    command += ["--log-level", "error", "tests.servers.refusing_app:application"]
    process = subprocess.Popen(command, cwd=BASE_DIR)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_client_that_writes_first_sees_the_answer(port: int, is_chunked: bool) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body: Any = iter([b"x" * 1_000_000] * (SIZE // 1_000_000)) if is_chunked else b"x" * SIZE
    connection.request("POST", "/", body=body, encode_chunked=is_chunked)
    response = connection.getresponse()
    assert (response.status, response.read()) == (413, b"too large")
    connection.request("POST", "/", body=b"again")
    assert connection.getresponse().status == 413


class Body(BytesIO):
    """Returns less than was asked for, like a socket."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 1, 5))


def left(reads: int, **environ: Any) -> bytes:
    """What is left of a body after an application that makes so many reads."""
    body = Body(b"0123456789" * 3)

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        for _ in range(reads):
            environ["wsgi.input"].read(5)
        environ["wsgi.input"].readline(2)
        return []

    list(UnreadBodies(application)({"wsgi.input": body, **environ}, None))
    return BytesIO(body.getvalue()[body.tell() :]).read()


@pytest.mark.parametrize("reads", [0, 1, 5])
def test_the_rest_is_read(reads: int) -> None:
    assert left(reads, CONTENT_LENGTH="30") == b""
    assert left(reads, CONTENT_LENGTH="", **{"wsgi.input_terminated": True}) == b""


def test_no_more_than_its_length_is_read() -> None:
    assert left(1, CONTENT_LENGTH="20") == b"0123456789"


def test_a_request_without_a_body_is_not_read() -> None:
    assert len(left(0, CONTENT_LENGTH="")) == 28


def test_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiworkstation.web.unread_bodies.MAX_BYTES", 10)
    assert len(left(0, CONTENT_LENGTH="30")) == 18
