"""Hostile messages to `/mcp`: each is refused with an error of the protocol, quickly, and the next one is answered."""

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from django.contrib.auth.models import User

from tests.mcp_server.conftest import Site, site  # noqa: F401 - a fixture
from tests.mcp_server.test_transport import headers, message
from tests.support.jobs import start_job
from workflows.models import WorkflowExecution

pytestmark = pytest.mark.django_db(transaction=True)
DEEP = b"[" * 200_000
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}


def bodies() -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "no JSON", b"{oh"
    yield "no object", b"42"
    yield "null", b"null"
    yield "not a number", b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": NaN}}'
    yield "too deep", DEEP
    yield (
        "too deep in it",
        b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"a": %s%s}}'
        % (
            b"[" * 150,
            b"]" * 150,
        ),
    )
    yield "a batch", json.dumps([{**CALL, "params": {"name": "list_jobs"}}] * 3).encode()
    yield "an empty batch", b"[]"
    yield "a response", b'{"jsonrpc": "2.0", "id": 1, "result": {}}'
    yield "another JSON-RPC", b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}'
    yield "no method", b'{"jsonrpc": "2.0", "id": 1}'
    yield "a method of another type", b'{"jsonrpc": "2.0", "id": 1, "method": {"a": 1}}'
    yield "an id of another type", b'{"jsonrpc": "2.0", "id": {}, "method": "ping"}'
    yield "parameters of another type", b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": [1]}'
    yield "a name of another type", b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": ["a"]}}'
    yield "arguments of another type", json.dumps({**CALL, "params": {"name": "list_jobs", "arguments": [1]}}).encode()
    yield "NUL", b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "a\\u0000"}}'
    yield "half a pair", b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "\\ud800"}}'
    yield "an endless number", b'{"jsonrpc": "2.0", "id": ' + b"9" * 5000 + b', "method": "ping"}'


@pytest.mark.parametrize("version", ["", "2025-06-18", "2026-07-28", "zzz"])
def test_hostile_bodies(site: Site, alice: User, version: str) -> None:  # noqa: F811
    given = {"MCP_Protocol_Version": version, "Mcp_Method": "ping"} if version else {}
    token = site.headers(alice)
    for name, body in bodies():
        answer = site.post(None, body, **given, **token)
        assert 400 <= answer.status_code < 500 or answer.json().keys() == {"jsonrpc", "id", "error"}, name
        assert "Traceback" not in answer.text, name
    assert site.post(alice, message("tools/list"), **headers("tools/list")).status_code == 200


VERSION, CAPABILITIES = "io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"
ODD_METADATA: list[Any] = [
    5,
    {},
    {VERSION: 5, CAPABILITIES: {}},
    {VERSION: "2026-07-28", CAPABILITIES: []},
    {VERSION: "2026-07-28", CAPABILITIES: {"extensions": [1]}},
    {VERSION: "2026-07-28", CAPABILITIES: {"extensions": {"io.modelcontextprotocol/tasks": 5}}},
    {VERSION: "2026-07-28", CAPABILITIES: {}, "progressToken": {"a": 1}, "traceparent": "x"},
]


@pytest.mark.parametrize("method", ["tools/call", "tasks/get", "subscriptions/listen", "server/discover", "initialize"])
def test_odd_metadata(site: Site, alice: User, method: str) -> None:  # noqa: F811
    token = site.headers(alice)
    for version, meta in itertools.product(("", "2025-11-25", "2026-07-28"), ODD_METADATA):
        params = {"_meta": meta, "name": "list_jobs", "arguments": {}, "taskId": "list_jobs", "notifications": {}}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        given = {**headers(method, "list_jobs"), "MCP_Protocol_Version": version} if version else {}
        answer = site.post(None, body, **given, **token)
        assert answer.status_code < 500, (version, meta)
        assert answer.json().get("error", {}).get("code") != -32603, (version, meta)


def test_a_large_body(site: Site, alice: User) -> None:  # noqa: F811
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "' + b"x" * 10_500_000 + b'"}}'
    assert site.post(alice, body).status_code == 413


def test_other_media_types(site: Site, alice: User) -> None:  # noqa: F811
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert site.post(alice, json.dumps(message("ping")).encode(), Content_Type=kind).status_code == 415


HOSTILE_ARGUMENTS: list[dict[str, Any]] = [
    {"jobId": "../../admin"},
    {"jobId": ["a"]},
    {"jobId": {"$ne": ""}},
    {"jobId": 1},
    {"jobId": "x" * 1_000_000},
    {"jobId": "' OR 1=1 --"},
    {"jobId": None},
    {},
    {"jobId": "00000000-0000-0000-0000-000000000000", "owner": "all"},
    {"__class__": 1, "self": 2, "user": 3},
]


@pytest.mark.parametrize("tool", ["get_job", "cancel_job", "list_job_steps", "why_waiting"])
def test_hostile_arguments(site: Site, alice: User, tool: str) -> None:  # noqa: F811
    for arguments in HOSTILE_ARGUMENTS:
        answer = site.post(alice, message("tools/call", name=tool, arguments=arguments), **headers("tools/call", tool))
        assert answer.status_code == 200
        assert answer.json()["result"]["isError"] is True
        assert len(answer.content) < 20_000


def test_a_job_type_cannot_be_smuggled_in(site: Site, alice: User) -> None:  # noqa: F811
    """The tool decides the type, whatever the arguments say: also types that no client may start."""
    payload = {"workflowName": "W", "steps": [{"name": "One"}]}
    body = message("tools/call", name="start_workflow", arguments={"jobType": "bulk-action", "payload": payload})
    site.post(alice, body, **headers("tools/call", "start_workflow"))
    assert set(WorkflowExecution.objects.values_list("job_type", flat=True)) <= {"workflow"}


def test_one_message_after_the_other_sees_its_own_user(site: Site, alice: User, bob: User) -> None:  # noqa: F811
    job = start_job(alice)
    body = message("tools/call", name="get_job", arguments={"jobId": str(job.pk)})
    for user, is_error in [(alice, False), (bob, True)] * 3:
        answer: httpx2.Response = site.post(user, body, **headers("tools/call", "get_job"))
        assert answer.json()["result"].get("isError", False) is is_error


def test_messages_at_once_see_their_own_users(site: Site, alice: User, bob: User) -> None:  # noqa: F811
    job = start_job(alice)
    body = message("tools/call", name="get_job", arguments={"jobId": str(job.pk)})
    tokens = {user: site.headers(user) for user in (alice, bob)}

    def call(user: User) -> bool:
        answer = site.post(None, body, **headers("tools/call", "get_job"), **tokens[user])
        return bool(answer.json()["result"].get("isError", False))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(call, [alice, bob] * 16)) == [False, True] * 16


def test_one_key_at_once_is_one_job(site: Site, alice: User) -> None:  # noqa: F811
    payload = {"workflowName": "W", "steps": [{"name": "One"}]}
    body = message("tools/call", name="start_workflow", arguments={"payload": payload, "idempotencyKey": "k"})
    token = site.headers(alice)

    def call(_: int) -> str:
        answer = site.post(None, body, **headers("tools/call", "start_workflow"), **token)
        return str(answer.json()["result"]["structuredContent"]["jobId"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(call, range(8)))) == 1
    assert WorkflowExecution.objects.count() == 1
