"""Secrets: who can send one where. A running engine, and an attacker's web server without a grant."""

import base64
import json
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from aiworkstation.audit.models import AuditEvent
from tests.conftest import browser_of
from tests.servers.web_server import WebServer
from tests.support.runner import work
from workflows import engine
from workflows.models import Mode, SecretGrant, WorkflowExecution
from workflows.network import http_client
from workflows.steps import NewExecution, NewStep
from workflows.tools import Arguments, StepContext, Tool, registry

pytestmark = pytest.mark.django_db(transaction=True)
VALUE = "Tok/en+1"


@pytest.fixture
def server(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setenv("SECRET_CRM", VALUE)
    with WebServer() as server:
        settings.CONFIG = settings.CONFIG.model_copy(update={"http_allowed_private_hosts": server.allowed()})
        yield server


def run(
    owner: User, arguments: dict[str, Any], *, mode: str = "General", tool: str = "HTTP_REQUEST"
) -> WorkflowExecution:
    steps = [NewStep("send", tool=tool, arguments=arguments, max_attempts=1)]
    new = NewExecution(owner.pk, "workflow", "test", steps, mode=mode)
    execution = WorkflowExecution.objects.get(pk=engine.start(new, actor=owner.username))
    work(execution)
    execution.refresh_from_db()
    return execution


def step_error(execution: WorkflowExecution) -> dict[str, Any]:
    return execution.steps.get().error or {}


def refusal(owner: User, arguments: dict[str, Any]) -> str:
    return str(step_error(run(owner, arguments)).get("code"))


def everything_about(execution: WorkflowExecution, client: Client) -> str:
    """Returns all that the owner can read of the job, and all that the database stores about it."""
    path = f"/api/jobs/{execution.pk}"
    answers = [client.get(f"{path}{part}") for part in ("", "/steps", "/events", "/failures.csv")]
    texts = [b"".join(answer).decode() for answer in answers]
    stored = [*execution.steps.values(), *AuditEvent.objects.values()]
    return "".join([*texts, json.dumps(stored, default=str)])


def forms(value: str) -> list[str]:
    return [
        value,
        value.lower(),
        value.replace("/", "%2F"),
        quote(value, safe=""),
        base64.b64encode(value.encode()).decode(),
    ]


REFERENCE = "{{secret.CRM}}"
PLACES: list[dict[str, Any]] = [
    {"headers": {"Authorization": f"Bearer {REFERENCE}"}},
    {"headers": {f"X-{REFERENCE}": "1"}},
    {"json": {REFERENCE: 1}},
    {"json": {"deep": [{"a": REFERENCE}]}},
    {"body": REFERENCE},
    {"url": f"/echo?q={REFERENCE}"},
    {"url": f"/{REFERENCE}"},
    {"url": f"/echo?{REFERENCE}=1"},
    {"no such argument": REFERENCE},
    {"timeoutSeconds": REFERENCE},
    {"method": REFERENCE},
]


@pytest.mark.parametrize("arguments", PLACES, ids=json.dumps)
def test_nothing_is_filled_in_without_a_grant(
    server: WebServer, alice: User, as_alice: Client, arguments: dict[str, Any]
) -> None:
    url = server.url + arguments.get("url", "/echo")
    execution = run(alice, {"method": "POST", **arguments, "url": url})
    assert execution.status == "failed"
    seen = everything_about(execution, as_alice) + json.dumps(server.requests)
    assert not [form for form in forms(VALUE) if form in seen]


@pytest.mark.parametrize("host", [f"{REFERENCE}.example", f"example.com:{REFERENCE}", f"u:{REFERENCE}@example.com"])
def test_nor_in_a_host(server: WebServer, alice: User, as_alice: Client, host: str) -> None:
    execution = run(alice, {"url": f"https://{host}/"})
    assert not [form for form in forms(VALUE) if form in everything_about(execution, as_alice)]


@pytest.mark.parametrize(("tool", "name"), [("DOCUMENT_READ", "documentId"), ("DOCUMENT_SEARCH", "query")])
def test_nor_in_a_tool_without_a_network(
    server: WebServer, alice: User, as_alice: Client, tool: str, name: str
) -> None:
    execution = run(alice, {name: REFERENCE}, tool=tool)
    assert not [form for form in forms(VALUE) if form in everything_about(execution, as_alice)]


def grant(server: WebServer, **values: Any) -> SecretGrant:
    row = {"secret": "CRM", "hosts": [server.place], "places": ["header:authorization"], **values}
    return SecretGrant.objects.create(**row)


def authorized(server: WebServer) -> dict[str, Any]:
    return {"url": f"{server.url}/echo", "headers": {"AUTHORIZATION": f"Bearer {REFERENCE}"}}


def test_a_grant_sends_it_and_takes_it_out_of_the_response(server: WebServer, alice: User, as_alice: Client) -> None:
    grant(server)
    execution = run(alice, authorized(server))
    assert execution.status == "completed"
    assert server.requests[0]["headers"]["authorization"] == f"Bearer {VALUE}"
    assert VALUE not in everything_about(execution, as_alice)


def test_an_echo_in_another_case_is_taken_out(server: WebServer, alice: User, as_alice: Client) -> None:
    grant(server)
    server.given = VALUE.upper().encode(), {"content-type": "text/plain", "x-echo": VALUE.lower()}
    execution = run(alice, {**authorized(server), "url": f"{server.url}/given"})
    assert VALUE.lower() not in everything_about(execution, as_alice).lower()


def test_a_grant_is_for_its_host(server: WebServer, alice: User) -> None:
    grant(server, hosts=["api.example.com:443", server.place.replace("127.0.0.1", "localhost")])
    assert refusal(alice, authorized(server)) == "secret_not_granted"
    assert server.requests == []


ELSEWHERE: list[tuple[str, dict[str, Any]]] = [
    ("header:authorization", {"headers": {"AUTHORIZATION": REFERENCE}}),
    ("header:x-api-key", {"headers": {"X-API-Key": REFERENCE}}),
    ("header:cookie", {"headers": {"Cookie": f"a={REFERENCE}"}}),
    ("body:key", {"json": {"key": REFERENCE}}),
    ("body", {"body": REFERENCE}),
    ("query:key", {"key": REFERENCE}),
]


@pytest.mark.parametrize("status", [302, 307, 308])
@pytest.mark.parametrize(("place", "sent"), ELSEWHERE, ids=[place for place, _ in ELSEWHERE])
def test_a_redirect_to_another_host_takes_none_along(
    server: WebServer, alice: User, settings: Any, place: str, sent: dict[str, Any], status: int
) -> None:
    grant(server, places=[place])
    with WebServer() as other:
        hosts = server.allowed() + other.allowed()
        settings.CONFIG = settings.CONFIG.model_copy(update={"http_allowed_private_hosts": hosts})
        arguments = dict(sent)
        query = f"&key={key}" if (key := arguments.pop("key", "")) else ""
        url = f"{server.url}/redirect?to={other.url}/echo&status={status}{query}"
        run(alice, {"method": "POST", "url": url, **arguments})
        assert [form for form in forms(VALUE) if form in json.dumps(server.requests)]
        assert not [form for form in forms(VALUE) if form in json.dumps(other.requests)]


def test_a_grant_is_for_its_modes(server: WebServer, alice: User) -> None:
    sales = Mode.objects.get_or_create(name="Sales")[0]
    grant(server).modes.add(sales)
    assert refusal(alice, authorized(server)) == "secret_not_granted"
    assert run(alice, authorized(server), mode="Sales").status == "completed"


def test_a_grant_is_for_its_groups(server: WebServer, alice: User, bob: User) -> None:
    crm = Group.objects.create(name="crm")
    crm.user_set.add(bob)
    grant(server).groups.add(crm)
    assert refusal(alice, authorized(server)) == "secret_not_granted"
    assert run(bob, authorized(server)).status == "completed"


class FetchArguments(Arguments):
    url: str
    headers: dict[str, str]


class Careless(Tool):
    """Raises an exception whose text is not made of its `args`."""

    slug = "PROBE_CARELESS"
    description = "Fails with what came back."
    Arguments: ClassVar[type[Arguments]] = FetchArguments
    secrets_in: ClassVar[frozenset[str]] = frozenset({"headers"})

    async def run(self, context: StepContext, arguments: FetchArguments) -> None:
        response = await http_client.send(http_client.Request("GET", arguments.url, headers=arguments.headers))
        raise FileNotFoundError(2, "No such file", response.body.decode())


def test_an_exception_of_a_tool_does_not_show_it(
    server: WebServer, alice: User, as_alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._registry, Careless.slug, Careless())
    grant(server)
    execution = run(alice, authorized(server), tool=Careless.slug)
    assert "No such file" in step_error(execution)["message"]
    assert VALUE not in everything_about(execution, as_alice)


def test_an_unknown_secret_and_an_ungranted_one_look_the_same(server: WebServer, alice: User) -> None:
    known = step_error(run(alice, authorized(server)))
    unknown = step_error(run(alice, json.loads(json.dumps(authorized(server)).replace("CRM", "NIX"))))
    assert known["message"].replace("CRM", "NIX") == unknown["message"]


class TestAdmin:
    URL = "/admin/workflows/secretgrant/add/"

    @pytest.fixture
    def admin(self, charlie: User) -> Client:
        charlie.user_permissions.add(*Permission.objects.filter(content_type__model="secretgrant"))
        return browser_of(charlie)

    def test_a_change_is_audited(self, admin: Client) -> None:
        sent = {"secret": "CRM", "hosts": "api.example.com:443", "places": "header:authorization"}
        assert admin.post(self.URL, sent).status_code == 302
        event = AuditEvent.objects.get(action="secret_grant.added")
        assert event.actor == "charlie"
        assert event.changes["after"]["hosts"] == ["api.example.com:443"]
        path = f"/admin/workflows/secretgrant/{SecretGrant.objects.get().pk}"
        admin.post(f"{path}/change/", {**sent, "places": "query:key"})
        changes = AuditEvent.objects.get(action="secret_grant.changed").changes
        assert (changes["before"]["places"], changes["after"]["places"]) == (["header:authorization"], ["query:key"])
        admin.post(f"{path}/delete/", {"post": "yes"})
        assert AuditEvent.objects.filter(action="secret_grant.deleted").count() == 1

    @pytest.mark.parametrize(
        "wrong",
        [
            {"hosts": "https://api.example.com"},
            {"hosts": "api.example.com"},
            {"hosts": "*:443"},
            {"hosts": ""},
            {"places": "authorization"},
            {"places": "header:Authorization"},
            {"places": "header:*"},
            {"secret": "{{secret.CRM}}"},
        ],
    )
    def test_it_refuses(self, admin: Client, wrong: dict[str, str]) -> None:
        sent = {"secret": "CRM", "hosts": "a.example:443", "places": "body", **wrong}
        assert admin.post(self.URL, sent).status_code == 200
        assert not SecretGrant.objects.exists()

    def test_staff_without_the_permission_cannot(self, at_charlie: Client, at_alice: Client) -> None:
        assert at_charlie.get(self.URL).status_code == 403
        assert at_alice.get(self.URL).status_code == 302
