"""Which requests are sent again, when, and with which key, against a server that fails."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiworkstation_client import ApiError, BadAnswer, ConnectionFailed, ServerError, Throttled
from aiworkstation_client.exchange import retry_after

from tests.clients.python.conftest import MakeClient
from tests.clients.python.flaky_server import CUT, FINISHED, JOB, STARTED, Reply, Serve, error

STEPS = [{"name": "One"}]
HALF = Reply(raw=b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"jobId')
TRANSIENT = [error(429), error(503, "no_space"), Reply(502, b"<html>Bad gateway</html>"), Reply(504, b""), CUT, HALF]


@pytest.mark.parametrize("trouble", TRANSIENT, ids=repr)
def test_a_job_is_started_once(make_client: MakeClient, serve: Serve, pauses: list[float], trouble: Reply) -> None:
    server = serve(trouble, trouble, Reply(202, STARTED))
    assert make_client(server.url, "t").start_workflow("W", STEPS).job_id == "j1"
    assert len(server.requests) == 3
    assert len(set(server.keys)) == 1
    assert server.keys[0]
    assert 0.25 <= pauses[0] <= 0.5 <= pauses[1] <= 1.0


@pytest.mark.parametrize("trouble", TRANSIENT, ids=repr)
def test_reading_is_repeated(make_client: MakeClient, serve: Serve, pauses: list[float], trouble: Reply) -> None:
    server = serve(trouble, Reply(200, FINISHED))
    assert make_client(server.url, "t").get_job("j1").status == "completed"
    assert len(server.requests) == 2


@pytest.mark.parametrize("trouble", [error(503), Reply(502, b""), CUT, HALF], ids=repr)
def test_what_has_no_key_is_not_repeated(make_client: MakeClient, serve: Serve, trouble: Reply) -> None:
    """The server may have carried it out."""
    for name in ("cancel", "retry", "rerun"):
        server = serve(trouble, Reply(202, JOB))
        with pytest.raises((ServerError, ConnectionFailed)):
            getattr(make_client(server.url, "t"), name)("j1")
        assert len(server.requests) == 1


def test_what_was_refused_is_repeated(make_client: MakeClient, serve: Serve, pauses: list[float]) -> None:
    """429 means that the request was not carried out."""
    server = serve(error(429), Reply(202, JOB))
    assert make_client(server.url, "t").cancel("j1").status == "running"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 500, 501])
def test_a_refusal_is_final(make_client: MakeClient, serve: Serve, status: int) -> None:
    server = serve(error(status, "why"))
    with pytest.raises(ApiError) as caught:
        make_client(server.url, "t").start_workflow("W", STEPS)
    assert (caught.value.status, caught.value.code, len(server.requests)) == (status, "why", 1)


def test_it_gives_up(make_client: MakeClient, serve: Serve, pauses: list[float]) -> None:
    server = serve(error(503, "no_space"))
    with pytest.raises(ServerError, match="The reason"):
        make_client(server.url, "t", retries=2).get_job("j1")
    assert len(server.requests) == 3
    with pytest.raises(ServerError):
        make_client(server.url, "t", retries=0).get_job("j1")
    assert len(server.requests) == 4


def test_no_server(make_client: MakeClient, serve: Serve, pauses: list[float]) -> None:
    server = serve(CUT)
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionFailed, match="Is the server running") as caught:
        make_client(server.url, "t").cancel("j1")
    assert not caught.value.was_sent
    assert len(pauses) == 5, "nothing was sent, so that even a request without a key is sent again"


def test_retry_after_is_obeyed(make_client: MakeClient, serve: Serve, pauses: list[float]) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    server = serve(error(429, Retry_After="7"), error(503, Retry_After=soon), Reply(200, FINISHED))
    make_client(server.url, "t").get_job("j1")
    assert pauses[0] == 7
    assert 20 < pauses[1] <= 30


def test_a_long_pause_is_left_to_the_caller(make_client: MakeClient, serve: Serve) -> None:
    server = serve(error(429, Retry_After="86400"))
    with pytest.raises(Throttled) as caught:
        make_client(server.url, "t").get_job("j1")
    assert (caught.value.retry_after, len(server.requests)) == (86400, 1)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 1.5 ", 1.5),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00", 0),
        ("", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("9" * 5000, None),
        ("٣", None),
        ("soon", None),
        ("Wed, 99 Foo 99999 99:99:99 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
    ],
)
def test_odd_retry_after(value: str, seconds: float | None) -> None:
    found = retry_after(value)
    assert found == seconds or (seconds is None and found is not None and found > 10**9)


def test_a_wait_survives_a_restart(make_client: MakeClient, serve: Serve, pauses: list[float]) -> None:
    server = serve(Reply(200, JOB, {"etag": '"1"'}), *[CUT] * 10, Reply(304, b""), Reply(200, FINISHED))
    assert make_client(server.url, "t", retries=1).wait("j1").output == {"text": "done"}
    tags = [request["headers"].get("if-none-match") for request in server.requests]
    assert tags == [None, *['"1"'] * 12]


def test_waiting_asks_more_and_more_rarely(make_client: MakeClient, serve: Serve, monkeypatch: Any) -> None:
    monkeypatch.setattr("aiworkstation_client.calls.FIRST_POLL", 0.001)
    server = serve(Reply(200, JOB, {"etag": '"1"'}), *[Reply(304, b"")] * 8, Reply(200, FINISHED))
    seen: list[str] = []
    make_client(server.url, "t").wait("j1", on_change=lambda job: seen.append(job.status))
    assert seen == ["running", "completed"]
    assert len(server.requests) == 10


def test_a_second_delete_finds_nothing(make_client: MakeClient, serve: Serve, pauses: list[float]) -> None:
    make_client(serve(CUT, error(404, "not_found")).url, "t").delete_job("j1")
    with pytest.raises(ApiError):
        make_client(serve(error(404, "not_found")).url, "t").delete_job("j1")


def test_a_304_that_was_not_asked_for(make_client: MakeClient, serve: Serve) -> None:
    with pytest.raises(BadAnswer):
        make_client(serve(Reply(304, b"")).url, "t").wait("j1")
