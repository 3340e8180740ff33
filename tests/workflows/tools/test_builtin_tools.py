import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from tests.servers.hubspot_server import TOKEN, HubspotServer
from tests.servers.web_server import WebServer
from tests.workflows.conftest import Configure
from workflows.errors import NotConfigured, PermanentError, StepError, TryLater
from workflows.tools import StepContext
from workflows.tools.http_request import HttpRequest, HttpRequestArguments
from workflows.tools.hubspot import HubspotGetContacts, HubspotGetContactsArguments


@pytest.fixture
def server(configure: Configure) -> Iterator[WebServer]:
    with WebServer() as server:
        configure(http_allowed_private_hosts=server.allowed())
        yield server


def context(reports: list[tuple[int | None, str]] | None = None) -> StepContext:
    def report(percent: int | None, message: str) -> None:
        if reports is not None:
            reports.append((percent, message))

    return StepContext(uuid4(), uuid4(), "Fetch", 1, "step-1-r2", 1, "demo", report=report)


def request(**arguments: Any) -> dict[str, Any]:
    return asyncio.run(HttpRequest().run(context(), HttpRequestArguments.model_validate(arguments)))


class TestHttpRequest:
    def test_it_works(self, server: WebServer) -> None:
        output = request(url=f"{server.url}/echo", method="POST", json={"a": 1}, headers={"X-B": "2"})
        assert output["status"] == 200
        assert output["headers"]["content-type"] == "application/json"
        assert output["json"]["body"] == {"a": 1}
        assert output["json"]["headers"]["idempotency-key"] == "step-1-r2"
        assert output["json"]["headers"]["x-b"] == "2"
        assert "text" not in output

    def test_body_and_text(self, server: WebServer) -> None:
        assert request(url=f"{server.url}/echo", method="PUT", body="plain")["json"]["body"] == "plain"
        assert request(url=f"{server.url}/text")["text"] == "Größe\ufffd"

    def test_what_calls_itself_json_and_is_not(self, server: WebServer) -> None:
        assert request(url=f"{server.url}/notjson")["text"] == "{oh"

    @pytest.mark.parametrize(
        "body",
        [
            '{"a": NaN}',
            '{"a": Infinity}',
            "[-Infinity]",
            '{"a": 1e400}',
            *("[" * depth + "]" * depth for depth in (101, 500, 9999)),
        ],
        ids=["nan", "infinity", "-infinity", "1e400", "101 levels", "500 levels", "9999 levels"],
    )
    def test_json_that_is_not_strict_is_text(self, server: WebServer, body: str) -> None:
        server.given = body.encode(), {"content-type": "application/json"}
        output = request(url=f"{server.url}/given")
        assert output["text"] == body
        assert "json" not in output

    def test_json_may_be_100_levels_deep(self, server: WebServer) -> None:
        server.given = b"[" * 100 + b"]" * 100, {"content-type": "application/json"}
        assert request(url=f"{server.url}/given")["json"] != []

    def test_binary_can_be_stored_as_json(self, server: WebServer) -> None:
        assert "\0" not in request(url=f"{server.url}/binary")["text"]

    def test_own_idempotency_key(self, server: WebServer) -> None:
        output = request(url=f"{server.url}/echo", headers={"Idempotency-Key": "mine"})
        assert output["json"]["headers"]["idempotency-key"] == "mine"

    def test_status(self, server: WebServer) -> None:
        with pytest.raises(PermanentError):
            request(url=f"{server.url}/status/404")
        with pytest.raises(TryLater):
            request(url=f"{server.url}/status/429")

    def test_time_limit(self, server: WebServer) -> None:
        with pytest.raises(StepError) as caught:
            request(url=f"{server.url}/slow", timeoutSeconds=0.2)
        assert caught.value.code == "timed_out"

    @pytest.mark.parametrize(
        "arguments",
        [{}, {"url": ""}, {"url": "http://a", "method": "BREW"}, {"url": "http://a", "timeoutSeconds": 0},
         {"url": "http://a", "json": 1, "body": "x"}, {"url": "http://a", "colour": 1}],
    )  # fmt: skip
    def test_bad_arguments(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            HttpRequestArguments.model_validate(arguments)

    def test_schema_has_the_wire_names(self) -> None:
        schema = HttpRequestArguments.model_json_schema()
        assert set(schema["properties"]) == {"method", "url", "headers", "json", "body", "timeoutSeconds"}
        assert schema["required"] == ["url"]


@pytest.fixture
def hubspot(hubspot_server: HubspotServer, configure: Configure) -> HubspotServer:
    configure(hubspot_base_url=hubspot_server.url, hubspot_access_token=TOKEN)
    return hubspot_server


def contacts(reports: list[tuple[int | None, str]] | None = None, **arguments: Any) -> dict[str, Any]:
    tool = HubspotGetContacts()
    return asyncio.run(tool.run(context(reports), HubspotGetContactsArguments.model_validate(arguments)))


class TestHubspot:
    def test_it_works(self, hubspot: HubspotServer) -> None:
        output = contacts()
        assert output["total"] == len(output["contacts"]) == 100
        assert output["next"] == "100"
        assert output["contacts"][0]["id"] == "1000"
        assert output["contacts"][0]["properties"]["firstname"] == "Ada"

    def test_pages(self, hubspot: HubspotServer) -> None:
        reports: list[tuple[int | None, str]] = []
        output = contacts(reports, limit=230)
        assert (output["total"], output["next"]) == (230, "230")
        paths = [request["path"].partition("?")[2] for request in hubspot.requests]
        assert paths == ["limit=100", "limit=100&after=100", "limit=30&after=200"]
        assert reports[-1] == (100, "230 contacts")

    def test_all_there_are(self, hubspot: HubspotServer) -> None:
        output = contacts(limit=10_000)
        assert (output["total"], output["next"]) == (250, None)

    def test_after_and_properties(self, hubspot: HubspotServer) -> None:
        output = contacts(limit=1, after="7", properties=["email", "city"])
        assert output["contacts"][0]["id"] == "1007"
        assert set(output["contacts"][0]["properties"]) == {"email", "city"}

    def test_no_token(self, configure: Configure) -> None:
        with pytest.raises(NotConfigured, match="HUBSPOT_ACCESS_TOKEN") as caught:
            HubspotGetContacts().check_configured()
        assert caught.value.code == "not_configured"

    def test_wrong_token(self, hubspot_server: HubspotServer, configure: Configure) -> None:
        configure(hubspot_base_url=hubspot_server.url, hubspot_access_token="pat-wrong")
        with pytest.raises(PermanentError, match="HUBSPOT_ACCESS_TOKEN") as caught:
            contacts()
        assert caught.value.code == "unauthorized"
        assert "pat-wrong" not in caught.value.message

    def test_busy(self, hubspot: HubspotServer) -> None:
        hubspot.busy, hubspot.retry_after = 1, "9"
        with pytest.raises(TryLater) as caught:
            contacts()
        assert caught.value.delay == 9
        assert contacts()["total"] == 100

    @pytest.mark.parametrize("status", [423, 477])
    def test_its_own_statuses_for_busy(self, hubspot: HubspotServer, status: int) -> None:
        hubspot.instead = status, {"status": "error", "message": "locked"}
        with pytest.raises(TryLater) as caught:
            contacts()
        assert (caught.value.code, caught.value.delay) == (f"http_{status}", 1)
        assert caught.value.cooldown == f"http:{hubspot.place}"

    @pytest.mark.parametrize(
        ("category", "kind", "retryable"),
        [
            ("RATE_LIMITS", TryLater, True),
            ("VALIDATION_ERROR", StepError, False),
            ("SOMETHING_NEW", StepError, True),
        ],
    )
    def test_an_error_with_status_200(
        self, hubspot: HubspotServer, category: str, kind: type[StepError], retryable: bool
    ) -> None:
        hubspot.instead = 200, {"status": "error", "category": category, "message": "It went wrong."}
        with pytest.raises(StepError, match="It went wrong") as caught:
            contacts()
        assert (type(caught.value), caught.value.code, caught.value.retryable) == (kind, "hubspot_error", retryable)

    @pytest.mark.parametrize(
        "body", [{"results": {"id": 1}}, {"results": ["x"]}, {"results": [], "paging": "x"}, {"paging": {"next": 3}}]
    )
    def test_an_answer_that_is_not_a_page(self, hubspot: HubspotServer, body: dict[str, Any]) -> None:
        hubspot.instead = 200, body
        with pytest.raises(StepError, match="not HubSpot's API"):
            contacts()

    def test_not_hubspot(self, server: WebServer, configure: Configure) -> None:
        configure(hubspot_base_url=f"{server.url}/notjson?", hubspot_access_token=TOKEN)
        with pytest.raises(StepError, match="not HubSpot's API"):
            contacts()
