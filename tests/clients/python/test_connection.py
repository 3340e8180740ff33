"""The address and the token."""

from pathlib import Path

import pytest
from aiworkstation_client import Client, ConfigurationError, ConnectionFailed

from tests.clients.python.conftest import MakeClient
from tests.clients.python.flaky_server import FINISHED, Reply, Serve
from tests.servers.tls import listening_with, self_signed


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (None, "http://127.0.0.1:8000"),
        ("http://localhost:8000/", "http://localhost:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://127.9.9.9/api", "http://127.9.9.9"),
        ("https://jobs.example.com/api/", "https://jobs.example.com"),
        ("https://example.com/jobs/api", "https://example.com/jobs"),
    ],
)
def test_addresses(make_client: MakeClient, given: str | None, url: str) -> None:
    assert make_client(given, "t").url == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("jobs.example.com", "must begin with"),
        ("ftp://jobs.example.com", "must begin with"),
        ("http://", "must begin with"),
        ("https://user:pass@jobs.example.com", "a user"),
        ("https://jobs.example.com/?a=b", "a query"),
        ("https://jobs.example.com:port", "not a URL"),
        ("http://jobs.example.com", "unencrypted"),
        ("http://10.0.0.1", "unencrypted"),
        ("http://127.0.0.1.evil.example", "unencrypted"),
        ("http://localhost.evil.example", "unencrypted"),
    ],
)
def test_refused_addresses(make_client: MakeClient, url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        make_client(url, "t")


def test_http_can_be_allowed(make_client: MakeClient) -> None:
    assert make_client("http://jobs.internal", "t", allow_http=True).url == "http://jobs.internal"


@pytest.mark.parametrize("token", ["", " ", "a b", "a\r\nX-Evil: 1", "tökén", "a\x00"])
def test_refused_tokens(make_client: MakeClient, token: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_client(None, token)
    assert not token.strip() or token not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_refused_timeouts(make_client: MakeClient, timeout: float) -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        make_client(None, "t", timeout=timeout)


def test_the_environment(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    server = serve(Reply(200, FINISHED))
    monkeypatch.setenv("AIW_URL", server.url)
    monkeypatch.setenv("AIW_TOKEN", "from-the-environment\n")
    make_client().get_job("j1")
    assert server.requests[0]["headers"]["authorization"] == "Bearer from-the-environment"


def test_the_token_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with Client("https://jobs.example.com", "the-secret") as client:
        assert "the-secret" not in repr(client)
        assert "the-secret" not in repr(client._connection)


def test_a_proxy_does_not_see_what_stays_on_this_machine(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    server, proxy = serve(Reply(200, FINISHED)), serve(Reply(200, FINISHED))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    make_client(server.url, "t").get_job("j1")
    assert (len(server.requests), proxy.requests) == (1, [])


def test_a_certificate_that_nobody_trusts(make_client: MakeClient, serve: Serve, tmp_path: Path) -> None:
    """The token is not sent, and there is no second attempt."""
    server = serve(Reply(200, FINISHED))
    names: list[str] = []
    server.socket = listening_with(self_signed(tmp_path, "localhost"), server.socket, names)
    with pytest.raises(ConnectionFailed, match="certificate") as caught:
        make_client(f"https://localhost:{server.server_port}", "t").get_job("j1")
    assert caught.value.is_lasting
    assert (names, server.requests) == (["localhost"], [])
