"""Compressed answers, as servers send them."""

import asyncio
import gzip
import time
import zlib
from collections.abc import Iterator
from functools import partial

import pytest

from tests.servers.web_server import WebServer
from tests.workflows.conftest import Configure
from workflows.errors import StepError
from workflows.network import http_client
from workflows.network.http_client import Request

packed = partial(gzip.compress, mtime=0)
TEXT = b"one two three " * 1000


def deflated(body: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(body) + packer.flush()


RAW = deflated(TEXT, -zlib.MAX_WBITS)
ZLIB = zlib.compress(TEXT)
GZIP = packed(TEXT)


@pytest.fixture
def server(configure: Configure) -> Iterator[WebServer]:
    with WebServer() as server:
        configure(http_allowed_private_hosts=server.allowed())
        yield server


def received(server: WebServer, body: bytes, encoding: str) -> bytes:
    server.given = body, {"content-encoding": encoding}
    return asyncio.run(http_client.send(Request("GET", f"{server.url}/given"))).body


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", GZIP),
        ("X-GZIP", GZIP),
        ("gzip", packed(TEXT[:5000]) + packed(TEXT[5000:])),
        ("gzip", b"".join(packed(TEXT[at : at + 1000]) for at in range(0, len(TEXT), 1000))),
        ("gzip", packed(b"") + GZIP + packed(b"")),
        ("gzip", GZIP + bytes(512)),
        ("deflate", ZLIB),
        ("deflate", RAW),
        ("gzip, gzip", packed(GZIP)),
        ("deflate, gzip", packed(RAW)),
        ("identity", TEXT),
        ("utf-8", TEXT),
        ("UTF-8", TEXT),
        ("none", TEXT),
        ("aws-chunked, gzip", GZIP),
    ],
)
def test_it_works(server: WebServer, encoding: str, body: bytes) -> None:
    assert received(server, body, encoding) == TEXT


def test_many_members_cost_little(server: WebServer) -> None:
    """Copying what is behind each of them took minutes, in which the worker did nothing else."""
    started = time.process_time()
    assert received(server, packed(b"") * 400_000 + GZIP, "gzip") == TEXT
    assert time.process_time() - started < 10


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_an_empty_body(server: WebServer, encoding: str) -> None:
    assert received(server, b"", encoding) == b""


@pytest.mark.parametrize(
    ("encoding", "body", "code", "retryable"),
    [
        ("gzip", GZIP[:-1], "connection_cut", True),
        ("gzip", GZIP + GZIP[:-9], "connection_cut", True),
        ("deflate", ZLIB[:-1], "connection_cut", True),
        ("deflate", RAW[:-1], "connection_cut", True),
        ("gzip", TEXT, "bad_answer", True),
        ("gzip", ZLIB, "bad_answer", True),
        ("deflate", b"\xff" + TEXT, "bad_answer", True),
        ("br", TEXT, "unsupported_encoding", False),
        ("zstd", TEXT, "unsupported_encoding", False),
        ("br, gzip", packed(TEXT), "unsupported_encoding", False),
        ("gzip", packed(bytes(6_000_000)) * 2, "response_too_large", False),
    ],
)
def test_bodies_that_cannot_be_read(server: WebServer, encoding: str, body: bytes, code: str, retryable: bool) -> None:
    with pytest.raises(StepError) as caught:
        received(server, body, encoding)
    assert (caught.value.code, caught.value.retryable) == (code, retryable)
