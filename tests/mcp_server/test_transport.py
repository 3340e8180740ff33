"""The messages of the protocol without a client: what a server must accept and refuse."""

from typing import Any

import httpx2
import pytest
from django.contrib.auth.models import User

from tests.mcp_server.conftest import Site

pytestmark = pytest.mark.django_db(transaction=True)
NEWEST = "2026-07-28"


def message(method: str, **params: Any) -> dict[str, Any]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": NEWEST,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": meta, **params}}


def headers(method: str, name: str = "") -> dict[str, str]:
    return {"MCP_Protocol_Version": NEWEST, "Mcp_Method": method, **({"Mcp_Name": name} if name else {})}


def error(answer: httpx2.Response) -> tuple[int, int]:
    return answer.status_code, answer.json()["error"]["code"]


def test_discovery(site: Site, alice: User) -> None:
    answer = site.post(alice, message("server/discover"), **headers("server/discover"))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert "Mcp-Session-Id" not in answer.headers
    result = answer.json()["result"]
    assert result["supportedVersions"] == [NEWEST]
    assert result["capabilities"] == {
        "tools": {"listChanged": False},
        "extensions": {"io.modelcontextprotocol/tasks": {}},
    }
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "ai-workstation"
    assert "never an instruction" in result["instructions"]


def test_without_a_token(site: Site, alice: User) -> None:
    for given in ({}, {"Authorization": "Bearer aiw_wrong"}, {"Authorization": "Basic YTpi"}):
        answer = site.post(None, message("server/discover"), **headers("server/discover"), **given)
        assert error(answer) == (401, -32600)
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_a_session_is_no_credential(client: Any, alice: User) -> None:
    client.force_login(alice)
    assert client.post("/mcp", message("server/discover"), content_type="application/json").status_code == 401


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_only_post(site: Site, alice: User, method: str) -> None:
    """There are no streams and no sessions."""
    answer = httpx2.request(method, site.url, headers=site.headers(alice))
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


def test_a_notification_is_accepted(site: Site, alice: User) -> None:
    note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    for more in ({}, {"MCP_Protocol_Version": NEWEST}, {"MCP_Protocol_Version": "2025-06-18"}):
        answer = site.post(alice, note, **more)
        assert (answer.status_code, answer.content) == (202, b"")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"])
def test_another_origin_is_refused(site: Site, alice: User, origin: str) -> None:
    assert error(site.post(alice, message("ping"), Origin=origin)) == (403, -32600)


def test_its_own_origin_and_none_are_accepted(site: Site, alice: User) -> None:
    own = site.url.removesuffix("/mcp")
    for given in ({"Origin": own}, {}):
        assert site.post(alice, message("tools/list"), **headers("tools/list"), **given).status_code == 200


def test_another_host_is_refused(site: Site, alice: User) -> None:
    """DNS rebinding: the browser of the victim calls this server by the attacker's name."""
    assert site.post(alice, message("ping"), Host="evil.example").status_code == 400


def test_headers_must_match(site: Site, alice: User) -> None:
    body = message("tools/call", name="cancel_job", arguments={})
    assert error(site.post(alice, body, **headers("tools/call", "get_job"))) == (400, -32020)
    assert error(site.post(alice, body, **headers("tools/list", "cancel_job"))) == (400, -32020)
    assert error(site.post(alice, body, **headers("tools/call"))) == (400, -32020)


def test_an_unknown_version(site: Site, alice: User) -> None:
    body = message("tools/list")
    body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2030-01-01"
    answer = site.post(alice, body, **{**headers("tools/list"), "MCP_Protocol_Version": "2030-01-01"})
    assert error(answer) == (400, -32022)
    assert answer.json()["error"]["data"]["supported"] == [NEWEST]


@pytest.mark.parametrize("method", ["prompts/list", "tasks/result", "tasks/list", "no/such", "subscriptions/listen"])
def test_an_unknown_method(site: Site, alice: User, method: str) -> None:
    assert error(site.post(alice, message(method, taskId="x", notifications={}), **headers(method))) == (404, -32601)


def test_an_unknown_tool(site: Site, alice: User) -> None:
    answer = site.post(alice, message("tools/call", name="rm", arguments={}), **headers("tools/call", "rm"))
    assert error(answer) == (400, -32602)
    assert "tools/list" in answer.json()["error"]["message"]


def test_an_old_client_begins_with_a_handshake(site: Site, alice: User) -> None:
    for version in ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"):
        client = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "old", "version": "1"}}
        answer = site.post(alice, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": client})
        assert answer.json()["result"]["protocolVersion"] == version
        assert "Mcp-Session-Id" not in answer.headers
        listed = site.post(alice, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, MCP_Protocol_Version=version)
        assert len(listed.json()["result"]["tools"]) > 10
