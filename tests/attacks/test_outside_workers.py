"""Registered outside workers: each reaches only its own addresses and its own steps, with its own secret."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.http import HttpResponse
from django.test import Client
from standardwebhooks.webhooks import Webhook

from aiworkstation.audit.models import AuditEvent
from tests.conftest import browser_of
from tests.servers.outside_worker import SECRET, signed
from tests.servers.web_server import WebServer
from tests.support.jobs import WORKER, claim
from tests.support.runner import work
from tests.support.turns import turn
from workflows import engine
from workflows.engine.outcomes import Outcome
from workflows.models import OutsideWorker, WorkflowExecution, WorkflowStep
from workflows.network import webhooks
from workflows.steps import NewExecution, NewStep

pytestmark = pytest.mark.django_db(transaction=True)

STEP, EXECUTION = "/api/workflow/update-step", "/api/workflow/update-execution"
Send = Callable[..., HttpResponse]


@pytest.fixture
def server(settings: Any) -> Iterator[WebServer]:
    with WebServer() as server:
        update = {"http_allowed_private_hosts": server.allowed(), "callback_secret": SECRET}
        settings.CONFIG = settings.CONFIG.model_copy(update=update)
        yield server


@pytest.fixture
def printer(server: WebServer) -> OutsideWorker:
    return register("printer", f"{server.url}/echo", f"{server.url}/text")


@pytest.fixture
def scanner(server: WebServer) -> OutsideWorker:
    return register("scanner", f"{server.url}/given")


def register(name: str, *addresses: str) -> OutsideWorker:
    return OutsideWorker.objects.create(name=name, addresses=list(addresses), secret=webhooks.new_secret())


def started(owner: User, *arguments: dict[str, Any]) -> WorkflowExecution:
    steps = [
        NewStep(f"s{index}", tool="EXTERNAL_WORKER", arguments=each, depends_on=[], max_attempts=1)
        for index, each in enumerate(arguments)
    ]
    new = NewExecution(owner.pk, "workflow", "hidden plan", [*steps, NewStep("hidden step", depends_on=[])])
    return WorkflowExecution.objects.get(pk=engine.start(new, actor=owner.username))


def posted(owner: User, *arguments: dict[str, Any]) -> list[WorkflowStep]:
    """Steps that wait for their workers' answers."""
    execution = started(owner, *arguments)
    claims = [each for each in claim(execution.pk, len(arguments) + 1) if each.tool]
    turn(WORKER, [Outcome.handed_over(each, 600) for each in claims], [])
    return list(execution.steps.filter(tool="EXTERNAL_WORKER").order_by("index"))


def run(owner: User, arguments: dict[str, Any]) -> WorkflowStep:
    execution = started(owner, arguments)
    work(execution, until_waiting=True)
    return execution.steps.get(index=0)


def call(step: WorkflowStep, secret: str, *, path: str = STEP, token: str | None = "", **body: Any) -> HttpResponse:
    sent: dict[str, Any] = {"executionId": str(step.execution_id), "status": "completed", **body}
    if path == STEP:
        sent = {"stepId": str(step.pk), **sent}
    if token is not None:
        sent["callbackToken"] = token or webhooks.callback_token(step.pk, step.attempt)
    text, headers = signed(sent, secret=secret)
    return Client().post(path, text, content_type="application/json", headers=headers)  # type: ignore[return-value]


def is_waiting(step: WorkflowStep) -> bool:
    step.refresh_from_db()
    return step.status == "waiting"


@pytest.mark.parametrize("named", ["worker", "url", "both"])
def test_a_step_is_posted_to_its_worker_signed_with_its_secret(
    server: WebServer, printer: OutsideWorker, scanner: OutsideWorker, alice: User, named: str
) -> None:
    arguments = {"worker": "printer", "url": printer.addresses[1]}
    step = run(alice, arguments if named == "both" else {named: arguments[named]})
    assert is_waiting(step)
    (request,) = server.requests
    assert request["path"] == ("/echo" if named == "worker" else "/text")
    Webhook(printer.secret).verify(json.dumps(request["body"]), request["headers"])


@pytest.mark.parametrize(
    "arguments",
    [
        {"worker": "nix"},
        {"url": "/slow"},
        {"worker": "printer", "url": "/given"},
        {"worker": "printer", "url": "/echo?x=1"},
        {"url": "/ECHO"},
        {"worker": "PRINTER"},
    ],
    ids=json.dumps,
)
def test_other_addresses_are_refused(
    server: WebServer, printer: OutsideWorker, scanner: OutsideWorker, alice: User, arguments: dict[str, Any]
) -> None:
    if "url" in arguments:
        arguments = arguments | {"url": server.url + arguments["url"]}
    step = run(alice, arguments)
    assert ((step.error or {})["code"], server.requests) == ("unknown_worker", [])


def test_a_worker_of_another_group_looks_like_none(
    server: WebServer, printer: OutsideWorker, alice: User, bob: User
) -> None:
    group = Group.objects.create(name="print")
    group.user_set.add(bob)
    printer.groups.add(group)
    for named in ({"worker": "printer"}, {"url": printer.addresses[0]}):
        refused = run(alice, named).error or {}
        unknown = run(alice, {name: value.replace("printer", "nix") + "x" for name, value in named.items()}).error or {}
        assert refused["code"] == unknown["code"] == "unknown_worker"
        assert is_waiting(run(bob, named))


def test_without_registered_workers_any_address_is_used(server: WebServer, alice: User) -> None:
    assert is_waiting(run(alice, {"url": f"{server.url}/echo"}))
    Webhook(SECRET).verify(json.dumps(server.requests[0]["body"]), server.requests[0]["headers"])


def test_its_callback_counts_and_shows_the_step_alone(
    printer: OutsideWorker, scanner: OutsideWorker, alice: User
) -> None:
    mine, others = posted(alice, {"worker": "printer"}, {"worker": "scanner"})
    response = call(mine, printer.secret, output={"done": 1})
    assert (response.status_code, json.loads(response.content)["output"]) == (200, {"done": 1})
    assert "hidden" not in response.content.decode()
    assert str(others.pk) not in response.content.decode()


@pytest.mark.parametrize("by", ["worker", "url"])
def test_another_workers_step_is_not_there(
    printer: OutsideWorker, scanner: OutsideWorker, alice: User, by: str
) -> None:
    arguments = {"worker": {"worker": "printer"}, "url": {"url": printer.addresses[0]}}[by]
    mine, others = posted(alice, arguments, {"worker": "scanner"})
    assert call(mine, scanner.secret).status_code == 404
    token = webhooks.callback_token(mine.pk, 1)
    assert call(others, scanner.secret, stepId=str(mine.pk), token=token).status_code == 404
    assert call(others, scanner.secret, stepId=None, stepIndex=0).status_code == 404
    assert call(mine, SECRET).status_code == 404
    assert call(mine, webhooks.new_secret()).status_code == 401
    assert is_waiting(mine)


def test_a_job_without_its_steps_is_not_there(printer: OutsideWorker, scanner: OutsideWorker, alice: User) -> None:
    (step,) = posted(alice, {"worker": "printer"})
    for path in (STEP, EXECUTION):
        for secret in (scanner.secret, SECRET):
            refused = call(step, secret, path=path, status="failed")
            missing = call(step, secret, path=path, status="failed", executionId=str(step.pk))
            assert (refused.status_code, refused.content) == (404, missing.content)
    assert is_waiting(step)


@pytest.mark.parametrize("path", [STEP, EXECUTION])
def test_the_callback_token_is_needed(printer: OutsideWorker, alice: User, path: str) -> None:
    (step,) = posted(alice, {"worker": "printer"})
    missing = call(step, printer.secret, path=path, token=None, status="failed")
    assert missing.status_code == 400
    assert json.loads(missing.content)["errors"][0]["attr"] == "callbackToken"
    assert call(step, printer.secret, path=path, token="f" * 64, status="failed").status_code == 409
    assert is_waiting(step)


def test_the_token_of_anothers_step_does_not_end_the_job(
    printer: OutsideWorker, scanner: OutsideWorker, alice: User
) -> None:
    mine, others = posted(alice, {"worker": "printer"}, {"worker": "scanner"})
    token = webhooks.callback_token(mine.pk, mine.attempt)
    assert call(others, scanner.secret, path=EXECUTION, token=token, status="failed").status_code == 409
    assert is_waiting(mine)


def test_it_may_end_the_job_and_sees_its_step_alone(
    printer: OutsideWorker, scanner: OutsideWorker, alice: User
) -> None:
    mine, others = posted(alice, {"worker": "printer"}, {"worker": "scanner"})
    response = call(mine, printer.secret, path=EXECUTION, status="cancelled")
    body = json.loads(response.content)
    assert (response.status_code, body["stepId"], body["status"]) == (200, str(mine.pk), "cancelled")
    assert "hidden" not in response.content.decode()
    assert str(others.pk) not in response.content.decode()


def test_steps_from_before_the_first_registration_are_answered_as_before(server: WebServer, alice: User) -> None:
    (step,) = posted(alice, {"url": "https://old.example/steps"})
    register("printer", f"{server.url}/echo")
    assert call(step, SECRET, token=None).status_code == 200


def test_steps_of_a_deleted_worker_are_nobodys(printer: OutsideWorker, alice: User, server: WebServer) -> None:
    (step,) = posted(alice, {"worker": "printer"})
    secret = printer.secret
    printer.delete()
    assert call(step, secret).status_code == 401
    assert call(step, SECRET).status_code == 404
    assert is_waiting(step)


class TestAdmin:
    ADD = "/admin/workflows/outsideworker/add/"

    @pytest.fixture
    def admin(self, charlie: User) -> Client:
        charlie.user_permissions.add(*Permission.objects.filter(content_type__model="outsideworker"))
        return browser_of(charlie)

    def test_the_secret_is_shown_once_and_never_audited(self, admin: Client) -> None:
        sent = {"name": "printer", "addresses": "https://a.example/steps"}
        shown = admin.post(self.ADD, sent, follow=True).content.decode()
        worker = OutsideWorker.objects.get()
        assert worker.secret.startswith("whsec_")
        assert worker.secret in shown.replace("&#x3D;", "=")
        change = self.ADD.replace("add", f"{worker.pk}/change")
        assert worker.secret not in admin.get(change).content.decode()
        admin.post(change, {**sent, "addresses": "https://b.example/steps"})
        worker.refresh_from_db()
        event = AuditEvent.objects.get(action="outside_worker.changed")
        assert event.changes["after"]["addresses"] == worker.addresses == ["https://b.example/steps"]
        given = webhooks.new_secret()
        admin.post(change, {**sent, "new_secret": given})
        old, worker = worker.secret, OutsideWorker.objects.get()
        assert worker.secret == given
        admin.post(self.ADD.replace("add", f"{worker.pk}/delete"), {"post": "yes"})
        audited = json.dumps(list(AuditEvent.objects.values("action", "changes")))
        assert "outside_worker.deleted" in audited
        assert old not in audited
        assert given not in audited

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": "A b"},
            {"addresses": "ftp://a.example"},
            {"addresses": ""},
            {"addresses": "https://taken.example/"},
            {"new_secret": "short"},
            {"new_secret": "whsec_"},
        ],
        ids=json.dumps,
    )
    def test_it_refuses(self, admin: Client, wrong: dict[str, str]) -> None:
        register("other", "https://taken.example/")
        sent = {"name": "printer", "addresses": "https://a.example/steps", **wrong}
        assert admin.post(self.ADD, sent).status_code == 200
        assert OutsideWorker.objects.count() == 1
