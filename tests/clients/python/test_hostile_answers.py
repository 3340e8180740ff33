"""Answers of something that is not AI Workstation, or not well."""

import socket
import threading
from typing import Any

import pytest
from aiworkstation_client import AiwError, ApiError, BadAnswer, ConnectionFailed, NotFound, ServerError, exchange

from tests.clients.python.conftest import MakeClient
from tests.clients.python.flaky_server import FINISHED, JOB, Reply, Serve

HTML = b"<!doctype html><html><body><h1>Sign in</h1></body></html>"


@pytest.mark.parametrize(
    "body",
    [
        HTML,
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"jobId": "j1"',
        b'{"jobId": NaN}',
        b'{"jobId": -Infinity}',
        b"[" * 100_000,
        b"9" * 10_000,
        b"\xff\xfe\x00",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_another_page(make_client: MakeClient, serve: Serve, body: bytes) -> None:
    with pytest.raises(BadAnswer):
        make_client(serve(Reply(200, body)).url, "t").get_job("j1")


@pytest.mark.parametrize(
    "changes",
    [
        {"jobId": 7},
        {"isFinished": "false"},
        {"isFinished": 0},
        {"tags": "ab"},
        {"tags": [None]},
        {"progress": []},
        {"progress": {"total": True}},
        {"createdAt": "yesterday"},
        {"createdAt": 12},
        {"durationMs": 1.5},
        {"error": "broken"},
        {"steps": {"0": {}}},
        {"steps": [None]},
    ],
    ids=str,
)
def test_wrong_fields_are_named(make_client: MakeClient, serve: Serve, changes: dict[str, Any]) -> None:
    (field,) = changes
    with pytest.raises(BadAnswer, match=f"Job.{field}"):
        make_client(serve(Reply(200, FINISHED | changes)).url, "t").get_job("j1")


def test_a_missing_field_is_named(make_client: MakeClient, serve: Serve) -> None:
    body = {name: value for name, value in FINISHED.items() if name != "status"}
    with pytest.raises(BadAnswer, match="Job has no status"):
        make_client(serve(Reply(200, body)).url, "t").get_job("j1")


def test_new_fields_and_states_are_accepted(make_client: MakeClient, serve: Serve) -> None:
    job = make_client(serve(Reply(200, FINISHED | {"colour": "red", "status": "paused"})).url, "t").get_job("j1")
    assert (job.status, job.raw["colour"]) == ("paused", "red")


@pytest.mark.parametrize(
    "body",
    [HTML, b"", b"[]", b"{}", b'{"errors": []}', b'{"errors": {}}', b'{"errors": [1]}', b'{"errors": [{"code": 1}]}'],
)
def test_errors_of_a_proxy(make_client: MakeClient, serve: Serve, body: bytes) -> None:
    with pytest.raises(NotFound) as caught:
        make_client(serve(Reply(404, body)).url, "t").get_job("j1")
    assert caught.value.code == "http_404"
    with pytest.raises(ServerError):
        make_client(serve(Reply(500, body)).url, "t").get_job("j1")


def test_a_page_is_shown_as_text(make_client: MakeClient, serve: Serve) -> None:
    with pytest.raises(ApiError, match="418: Sign in"):
        make_client(serve(Reply(418, HTML)).url, "t").get_job("j1")


def test_odd_tags_are_not_sent_back(make_client: MakeClient, serve: Serve) -> None:
    tags = ["\xe4", "a b", ""]
    server = serve(*(Reply(200, JOB, {"etag": tag}) for tag in tags), Reply(200, FINISHED))
    assert make_client(server.url, "t").wait("j1").status == "completed"
    assert [request["headers"].get("if-none-match") for request in server.requests] == [None] * 4


def test_long_texts_are_cut(make_client: MakeClient, serve: Serve) -> None:
    body = {"errors": [{"code": "c", "detail": "x" * 100_000, "attr": None}]}
    with pytest.raises(ApiError) as caught:
        make_client(serve(Reply(400, body)).url, "t").get_job("j1")
    assert len(str(caught.value)) < 600


def test_huge_answers(make_client: MakeClient, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_JSON", 1024 * 1024)
    with pytest.raises(BadAnswer, match="more than 1 MB"):
        make_client(serve(Reply(200, b" " * 2_000_000)).url, "t").get_job("j1")
    with pytest.raises(BadAnswer, match="more than 1 MB"):
        make_client(serve(Reply(404, b" " * 2_000_000)).url, "t").get_job("j1")


def test_compressed_answers(make_client: MakeClient, serve: Serve) -> None:
    with pytest.raises(BadAnswer, match="compressed"):
        make_client(serve(Reply(200, b"\x1f\x8b", {"content-encoding": "gzip"})).url, "t").get_job("j1")


def test_no_http_at_all(make_client: MakeClient, serve: Serve, pauses: list[float]) -> None:
    with pytest.raises(ConnectionFailed):
        make_client(serve(Reply(raw=b"SSH-2.0-OpenSSH\r\n")).url, "t").get_job("j1")


@pytest.mark.parametrize("location", ["https://evil.example/", "//evil.example/x", "/login", ""])
@pytest.mark.parametrize("status", [302, 308])
def test_redirects_are_not_followed(make_client: MakeClient, serve: Serve, status: int, location: str) -> None:
    server = serve(Reply(status, b"", {"location": location}))
    with pytest.raises(BadAnswer, match="redirects"):
        make_client(server.url, "t").get_job("j1")
    assert len(server.requests) == 1


def test_the_token_reaches_no_other_host(make_client: MakeClient, serve: Serve) -> None:
    other = serve(Reply(200, FINISHED))
    with pytest.raises(BadAnswer):
        make_client(serve(Reply(307, b"", {"location": f"{other.url}/api/jobs/j1"})).url, "secret").get_job("j1")
    assert other.requests == []


def test_an_output_is_read_from_the_jobs_own_address(make_client: MakeClient, serve: Serve) -> None:
    """Not from the URL in the answer, which could lead to another host."""
    large = {"tooLarge": True, "size": 1, "url": "https://evil.example/api/jobs/j1/output"}
    server = serve(Reply(200, FINISHED | {"output": large}), Reply(200, {"text": "all"}))
    client = make_client(server.url, "t")
    assert client.output(client.wait("j1")) == {"text": "all"}
    assert server.paths == ["/api/jobs/j1", "/api/jobs/j1/output"]


def test_a_list_without_an_end(make_client: MakeClient, serve: Serve) -> None:
    server = serve(Reply(200, {"jobs": [JOB], "nextCursor": "c"}))
    with pytest.raises(BadAnswer, match="does not end"):
        list(make_client(server.url, "t").jobs())


@pytest.mark.parametrize("body", [{"jobs": None}, {"jobs": {}}, {"jobs": [], "nextCursor": 7}, {}, []], ids=str)
def test_odd_lists(make_client: MakeClient, serve: Serve, body: Any) -> None:
    with pytest.raises(BadAnswer):
        list(make_client(serve(Reply(200, body)).url, "t").jobs())


def test_an_answer_that_trickles(make_client: MakeClient, pauses: list[float]) -> None:
    """Each byte comes in time, but the answer never ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def trickle() -> None:
        while not over.is_set():
            connection, _ = listener.accept()
            with connection:
                try:
                    connection.recv(10_000)
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
                    while not over.wait(0.05):
                        connection.sendall(b" ")
                except OSError:
                    continue

    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    client = make_client(f"http://127.0.0.1:{listener.getsockname()[1]}", "t", timeout=0.3, retries=1)
    with pytest.raises(ConnectionFailed, match="not complete after"):
        client.get_job("j1")
    over.set()
    listener.close()


def test_silence(make_client: MakeClient, pauses: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ConnectionFailed):
            make_client(url, "t", timeout=0.2, retries=1).get_job("j1")


def test_every_exception_has_one_base(make_client: MakeClient, serve: Serve) -> None:
    with pytest.raises(AiwError):
        make_client(serve(Reply(200, b"")).url, "t").get_job("j1")
