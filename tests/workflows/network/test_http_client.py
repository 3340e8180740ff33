import asyncio
import json
import logging
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from aiworkstation.ops import config
from tests.servers.local import LocalServer
from tests.servers.tls import listening_with, self_signed
from tests.servers.web_server import WebHandler, WebServer
from tests.workflows.conftest import Configure
from workflows.errors import BadArguments, NotConfigured, PermanentError, StepError, TryLater
from workflows.network import http_client, secrets, ssrf_guard
from workflows.network.http_client import Request, Response
from workflows.network.secrets import Grant

SECRET = 'tok/en+"1"'


@pytest.fixture
def server(configure: Configure) -> Iterator[WebServer]:
    with WebServer() as server:
        configure(http_allowed_private_hosts=server.allowed())
        yield server


@pytest.fixture
def other(server: WebServer, configure: Configure) -> Iterator[WebServer]:
    with WebServer() as other:
        configure(http_allowed_private_hosts=server.allowed(other))
        yield other


def send(url: str, method: str = "GET", **options: Any) -> Response:
    return asyncio.run(http_client.send(Request(method, url, **options)))


@contextmanager
def granted(*grants: Grant) -> Iterator[None]:
    async def source() -> tuple[Grant, ...]:
        return grants

    token = secrets._grants.set(source)
    yield
    secrets._grants.reset(token)


def failure(url: str, method: str = "GET", **options: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        send(url, method, **options)
    return caught.value


class TestSend:
    def test_it_works(self, server: WebServer) -> None:
        response = send(f"{server.url}/echo?a=1", "POST", json={"b": 2}, headers={"X-One": "1"})
        assert response.status == 200
        got = response.json()
        assert (got["method"], got["path"], got["body"]) == ("POST", "/echo?a=1", {"b": 2})
        assert got["headers"]["x-one"] == "1"
        assert got["headers"]["content-type"] == "application/json"
        assert got["headers"]["host"] == server.place

    def test_text_in_its_charset(self, server: WebServer) -> None:
        response = send(f"{server.url}/text")
        assert (response.is_json, response.text) == (False, "Größe\ufffd")

    def test_gzip(self, server: WebServer) -> None:
        assert send(f"{server.url}/gzip").json() == {"a": 1}

    def test_environment_proxies_are_ignored(self, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert send(f"{server.url}/echo").status == 200

    @pytest.mark.parametrize("url", ["ftp://a.example/", "file:///etc/passwd", "http://", "//a", "x", "http://u:p@a/"])
    def test_bad_urls(self, configure: Configure, url: str) -> None:
        assert isinstance(failure(url), BadArguments)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("Host", "a"), ("Content-Length", "1"), ("X", "a\r\nB: c"), ("X Y", "1"), ("X", "ü"), ("", "a")],
    )
    def test_bad_headers(self, server: WebServer, name: str, value: str) -> None:
        assert isinstance(failure(f"{server.url}/echo", headers={name: value}), BadArguments)
        assert server.requests == []


class TestAddresses:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0"])
    def test_private_ones_are_not_reached(self, configure: Configure, host: str) -> None:
        with WebServer() as server:
            error = failure(f"http://{host}:{server.server_port}/echo")
            assert (error.code, error.retryable) == ("address_not_allowed", False)
            assert "HTTP_ALLOWED_PRIVATE_HOSTS" in error.message
            assert server.requests == []

    def test_another_port_is_not_allowed(self, server: WebServer) -> None:
        with WebServer() as second:
            assert failure(f"{second.url}/echo").code == "address_not_allowed"

    def test_one_private_address_of_many_is_enough(self, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
        resolves_to(monkeypatch, "1.1.1.1", "10.0.0.1")
        assert failure("http://mixed.example/").code == "address_not_allowed"

    def test_connection_goes_to_the_address_that_was_checked(
        self, server: WebServer, configure: Configure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = f"name.example:{server.server_port}"
        configure(http_allowed_private_hosts=[place])
        asked = resolves_to(monkeypatch, "127.0.0.1")
        assert send(f"http://{place}/echo").json()["headers"]["host"] == place
        assert asked == ["name.example"]

    def test_next_address_is_tried(
        self, server: WebServer, configure: Configure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = f"name.example:{server.server_port}"
        configure(http_allowed_private_hosts=[place])
        resolves_to(monkeypatch, "127.0.0.9", "127.0.0.1")
        assert send(f"http://{place}/echo").status == 200

    def test_trusted_host(self, configure: Configure) -> None:
        with WebServer() as server:
            assert send(f"{server.url}/echo", trusted=frozenset({server.place})).status == 200


def resolves_to(monkeypatch: pytest.MonkeyPatch, *found: str) -> list[str]:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return list(found)

    monkeypatch.setattr(ssrf_guard, "resolve", resolve)
    return asked


class TestRedirects:
    def test_followed(self, server: WebServer) -> None:
        response = send(f"{server.url}/redirect?to=/echo", headers={"authorization": "a"})
        assert response.json()["headers"]["authorization"] == "a"

    def test_to_a_private_address(self, server: WebServer) -> None:
        with WebServer() as private:
            error = failure(f"{server.url}/redirect?to={private.url}/echo")
            assert error.code == "address_not_allowed"
            assert private.requests == []

    @pytest.mark.parametrize("target", ["http://169.254.169.254/latest/meta-data/", "http://[::1]/"])
    def test_to_metadata(self, server: WebServer, target: str) -> None:
        assert failure(f"{server.url}/redirect?to={target}").code == "address_not_allowed"

    def test_to_a_file(self, server: WebServer) -> None:
        assert not failure(f"{server.url}/redirect?to=file:///etc/passwd").retryable

    def test_five_and_no_more(self, server: WebServer) -> None:
        assert send(f"{server.url}/hop/5").status == 200
        error = failure(f"{server.url}/hop/6")
        assert (error.code, error.retryable) == ("too_many_redirects", False)

    def test_credentials_stay_at_home(self, server: WebServer, other: WebServer) -> None:
        headers = {
            "Authorization": "Bearer x",
            "X-Api-Key": "k",
            "Cookie": "c",
            "Accept": "a/b",
            "Idempotency-Key": "i",
        }
        sent = send(f"{server.url}/redirect?to={other.url}/echo", headers=headers).json()["headers"]
        assert not {"authorization", "x-api-key", "cookie"} & set(sent)
        assert (sent["accept"], sent["idempotency-key"]) == ("a/b", "i")

    @pytest.mark.parametrize(
        ("status", "method", "body"),
        [
            (301, "GET", None),
            (302, "GET", None),
            (303, "GET", None),
            (307, "POST", {"a": 1}),
            (308, "POST", {"a": 1}),
        ],
    )
    def test_method(self, server: WebServer, status: int, method: str, body: Any) -> None:
        got = send(f"{server.url}/redirect?to=/echo&status={status}", "POST", json={"a": 1}).json()
        assert (got["method"], got["body"]) == (method, body)


class TestLimits:
    def test_large_answer(self, server: WebServer) -> None:
        error = failure(f"{server.url}/big")
        assert (error.code, error.retryable) == ("response_too_large", False)

    def test_compressed_bomb(self, server: WebServer) -> None:
        assert failure(f"{server.url}/bomb").code == "response_too_large"

    def test_total_time(self, server: WebServer) -> None:
        began = time.monotonic()
        error = failure(f"{server.url}/slow", timeout=0.3)
        assert (error.code, error.retryable) == ("timed_out", True)
        assert time.monotonic() - began < 4, "the answer takes 5 s"

    def test_cut(self, server: WebServer) -> None:
        error = failure(f"{server.url}/cut")
        assert (error.code, error.retryable) == ("connection_cut", True)

    def test_refused(self, configure: Configure) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            place = f"127.0.0.1:{closed.getsockname()[1]}"
        configure(http_allowed_private_hosts=[place])
        error = failure(f"http://{place}/")
        assert isinstance(error, TryLater)
        assert error.cooldown == f"http:{place}"


class TestStatus:
    @pytest.mark.parametrize(
        ("status", "kind", "retryable"),
        [
            (400, PermanentError, False),
            (404, PermanentError, False),
            (408, StepError, True),
            (425, StepError, True),
            (429, TryLater, True),
            (500, StepError, True),
            (503, TryLater, True),
        ],
    )
    def test_errors(self, server: WebServer, status: int, kind: type[StepError], retryable: bool) -> None:
        response = send(f"{server.url}/status/{status}?say=why")
        with pytest.raises(StepError) as caught:
            http_client.raise_for_status(response)
        error = caught.value
        assert isinstance(error, TryLater) == (kind is TryLater)
        assert (error.code, error.retryable) == (f"http_{status}", retryable)
        assert "why" in error.message
        if isinstance(error, TryLater):
            assert error.delay == 3

    def test_success(self, server: WebServer) -> None:
        http_client.raise_for_status(send(f"{server.url}/status/204"))


class TestSecrets:
    PLACES = ("header:authorization", "query:key", "query:say", "body:a", "body", "header:a")

    @pytest.fixture(autouse=True)
    def _secret(self, monkeypatch: pytest.MonkeyPatch, server: WebServer) -> Iterator[None]:
        monkeypatch.setenv("SECRET_CRM", SECRET)
        with granted(Grant("CRM", frozenset({server.place}), frozenset(self.PLACES))):
            yield

    def test_sent_and_taken_out_of_the_answer(self, server: WebServer) -> None:
        url = f"{server.url}/echo?key={{{{secret.CRM}}}}"
        response = send(
            url, "POST", json={"a": ["{{ secret.CRM }}"]}, headers={"authorization": "Bearer {{secret.CRM}}"}
        )
        (request,) = server.requests
        assert request["headers"]["authorization"] == f"Bearer {SECRET}"
        assert request["body"] == {"a": [SECRET]}
        assert request["path"] == "/echo?key=tok%2Fen%2B%221%22"
        seen = f"{response.json()} {response.text} {response.headers}"
        assert "tok/en" not in seen
        assert "tok%2Fen" not in seen
        assert "[secret]" in response.headers["x-echo"]
        assert response.json()["body"] == {"a": ["[secret]"]}

    def test_sent_in_a_text(self, server: WebServer) -> None:
        send(f"{server.url}/echo", "POST", body=b'["{{secret.CRM}}"]'.replace(b'"', b""))
        assert SECRET in str(server.requests[0])

    def test_not_in_errors_or_logs(self, server: WebServer, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        response = send(f"{server.url}/status/400?say={{{{secret.CRM}}}}")
        with pytest.raises(StepError) as caught:
            http_client.raise_for_status(response)
        assert "tok/en" not in f"{caught.value} {caplog.text}"

    def test_filled_in_again_after_a_redirect_to_the_same_host(self, server: WebServer) -> None:
        url = f"{server.url}/redirect?to=/echo&status=307"
        send(url, "POST", json={"a": "{{secret.CRM}}"}, headers={"authorization": "{{secret.CRM}}"})
        assert server.requests[-1]["body"] == {"a": SECRET}
        assert server.requests[-1]["headers"]["authorization"] == SECRET

    def test_another_host_gets_none(self, server: WebServer, other: WebServer) -> None:
        url = f"{server.url}/redirect?to={other.url}/echo&status=307"
        assert failure(url, "POST", json={"a": "{{secret.CRM}}"}).code == "secret_not_granted"
        assert other.requests == []

    def test_a_server_cannot_ask_for_one(self, server: WebServer) -> None:
        to = quote("/echo?key={{secret.CRM}}")
        response = send(f"{server.url}/redirect?to={to}", headers={"authorization": "{{secret.CRM}}"})
        assert "tok" not in server.requests[-1]["path"]
        assert response.status == 200

    def test_plain_http_gets_none(
        self, server: WebServer, configure: Configure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ssrf_guard, "is_public", lambda address: True)
        configure(http_allowed_private_hosts=[])
        assert failure(f"{server.url}/echo", headers={"a": "{{secret.CRM}}"}).code == "secret_not_granted"
        assert server.requests == []

    @pytest.mark.parametrize(
        "options",
        [
            {"headers": {"x-other": "{{secret.CRM}}"}},
            {"json": {"b": "{{secret.CRM}}"}},
            {"json": {"a": {"b": "{{secret.CRM}}"}}},
            {"json": {"a": "{{secret.OTHER}}"}},
            {"url": "/echo?other={{secret.CRM}}"},
        ],
    )
    def test_only_where_it_is_granted(self, server: WebServer, options: dict[str, Any]) -> None:
        url = server.url + options.pop("url", "/echo")
        error = failure(url, "POST", **options)
        assert (error.code, error.retryable) == ("secret_not_granted", False)
        assert server.requests == []

    @pytest.mark.parametrize(
        "options",
        [
            {"headers": {"x-{{secret.CRM}}": "a"}},
            {"json": {"{{secret.CRM}}": "a"}},
            {"url": "/{{secret.CRM}}"},
            {"url": "/echo?{{secret.CRM}}=1"},
            {"url": "/echo#{{secret.CRM}}"},
        ],
    )
    def test_never_in_a_name_or_path(self, server: WebServer, options: dict[str, Any]) -> None:
        url = server.url + options.pop("url", "/echo")
        assert isinstance(failure(url, "POST", **options), BadArguments)
        assert server.requests == []

    def test_never_in_a_host(self) -> None:
        error = failure("http://{{secret.CRM}}.invalid/")
        assert "tok" not in str(error.args)

    def test_missing(self, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SECRET_CRM")
        error = failure(f"{server.url}/echo", headers={"a": "{{secret.CRM}}"})
        assert isinstance(error, NotConfigured)
        assert "SECRET_CRM" in error.message
        assert server.requests == []

    def test_from_the_file_of_the_settings(
        self, server: WebServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.delenv("SECRET_CRM")
        (tmp_path / "own.env").write_text(f"SECRET_CRM={SECRET}\n")
        monkeypatch.setattr(config, "ENV_FILE", str(tmp_path / "own.env"))
        send(f"{server.url}/echo", headers={"a": "{{secret.CRM}}"})
        assert server.requests[0]["headers"]["a"] == SECRET

    def test_key_of_the_application_is_none_of_them(self, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECRET_KEY", "of-django")
        with granted(Grant("KEY", frozenset({server.place}), frozenset({"header:a"}))):
            assert isinstance(failure(f"{server.url}/echo", headers={"a": "{{secret.KEY}}"}), NotConfigured)

    def test_signed_with_the_secret_in_it(self, server: WebServer) -> None:
        send(f"{server.url}/echo", "POST", json={"a": "{{secret.CRM}}"}, sign=lambda body: {"x-size": str(len(body))})
        assert server.requests[0]["headers"]["x-size"] == str(len(json.dumps({"a": SECRET})))


class TestTls:
    def test_name_is_sent_and_checked(
        self, configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        certificate = self_signed(tmp_path, "name.example")
        names: list[str] = []
        with LocalServer(WebHandler) as server:
            server.socket = listening_with(certificate, server.socket, names)
            configure(
                http_allowed_private_hosts=[f"{host}:{server.server_port}" for host in ("name.example", "b.example")]
            )
            resolves_to(monkeypatch, "127.0.0.1")
            monkeypatch.setattr(
                http_client, "_ssl_context", lambda: ssl.create_default_context(cafile=str(certificate))
            )
            assert send(f"https://name.example:{server.server_port}/echo").status == 200
            assert names == ["name.example"]
            assert failure(f"https://b.example:{server.server_port}/echo").code == "bad_certificate"


class TestCancel:
    def test_connection_is_closed_at_once(self, server: WebServer) -> None:
        async def cancel() -> float:
            call = asyncio.create_task(http_client.send(Request("GET", f"{server.url}/slow")))
            while not server.requests:
                await asyncio.sleep(0.01)
            began = time.monotonic()
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert call.cancelled()
            return time.monotonic() - began

        assert asyncio.run(cancel()) < 3, "the answer takes 5 s"
