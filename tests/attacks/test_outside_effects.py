"""Arguments that a model chose: a document must not make it send something to a host that nobody has named."""

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.servers.model_server import ModelServer, Reply
from tests.servers.outside_worker import SECRET, signed
from tests.servers.web_server import WebServer
from tests.support.html import text as text_of
from tests.support.jobs import WORKER, claim
from tests.support.runner import work
from tests.support.turns import turn
from workflows import engine, tools
from workflows.engine.outcomes import Outcome
from workflows.models import Mode, WorkflowExecution, WorkflowStep
from workflows.steps import NewExecution, NewStep
from workflows.tools import Arguments, StepContext, Tool, registry
from workflows.worker.outside_effects import _hosts_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(settings: Any) -> Iterator[WebServer]:
    """The attacker's."""
    with WebServer() as server:
        yield server


@pytest.fixture
def other(settings: Any) -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture
def model(settings: Any, server: WebServer, other: WebServer) -> Iterator[ModelServer]:
    with ModelServer() as model:
        update = {
            "openai_base_url": model.base_url,
            "default_model": "test-model",
            "http_allowed_private_hosts": server.allowed(other),
            "callback_secret": SECRET,
        }
        settings.CONFIG = settings.CONFIG.model_copy(update=update)
        yield model


def started(
    owner: User, description: str = "Send it.", tool: str = "HTTP_REQUEST", **options: Any
) -> WorkflowExecution:
    arguments = options.pop("arguments", None)
    step = NewStep("send", tool=tool, description=description, arguments=arguments, max_attempts=1)
    new = NewExecution(owner.pk, "workflow", "test", [step], **options)
    return WorkflowExecution.objects.get(pk=engine.start(new, actor=owner.username))


def run(owner: User, model: ModelServer, chosen: dict[str, Any], **options: Any) -> WorkflowStep:
    """Runs a step whose arguments the model chooses, until it is over or waits for a person."""
    model.script.append(Reply(arguments=json.dumps(chosen)))
    execution = started(owner, **options)
    work(execution, until_waiting=True)
    return execution.steps.get()


def answer(client: Client, step: WorkflowStep, verb: str, **body: Any) -> Any:
    path = f"/api/jobs/{step.execution_id}/steps/{step.pk}/{verb}"
    return client.post(path, body, content_type="application/json")


def go_on(step: WorkflowStep) -> WorkflowStep:
    work(WorkflowExecution.objects.get(pk=step.execution_id), until_waiting=True)
    step.refresh_from_db()
    return step


@pytest.mark.parametrize(
    "chosen",
    [
        {"method": "POST", "json": {"figures": [1]}},
        {"method": "PUT", "body": "figures"},
        {"method": "DELETE"},
        {"url": "/echo?figures=1"},
        {"method": "PATCH", "url": "/echo/figures"},
        {"headers": {"x-figures": "1"}},
    ],
    ids=json.dumps,
)
def test_a_host_that_nobody_named_waits_for_a_person(
    alice: User, as_alice: Client, model: ModelServer, server: WebServer, chosen: dict[str, Any]
) -> None:
    chosen = chosen | {"url": server.url + chosen.get("url", "/echo")}
    step = run(alice, model, chosen)
    assert (step.status, server.requests) == ("waiting", [])
    shown = as_alice.get(f"/api/jobs/{step.execution_id}/steps/{step.pk}").json()["approval"]
    assert server.place in shown["question"]
    assert shown["arguments"] == chosen
    assert answer(as_alice, step, "approve").status_code == 202
    assert (go_on(step).status, len(server.requests), step.attempt) == ("completed", 1, 1)


def test_a_no_sends_nothing_and_a_retry_asks_again(
    alice: User, as_alice: Client, model: ModelServer, server: WebServer
) -> None:
    step = run(alice, model, {"url": f"{server.url}/echo"})
    assert answer(as_alice, step, "reject").json()["error"]["code"] == "rejected"
    as_alice.post(f"/api/jobs/{step.execution_id}/retry")
    assert (go_on(step).status, server.requests) == ("waiting", [])


def test_a_yes_is_for_one_round(alice: User, as_alice: Client, model: ModelServer, server: WebServer) -> None:
    step = run(alice, model, {"url": f"{server.url}/status/400"})
    answer(as_alice, step, "approve")
    assert (go_on(step).status, len(server.requests)) == ("failed", 1)
    as_alice.post(f"/api/jobs/{step.execution_id}/retry")
    assert (go_on(step).status, len(server.requests)) == ("waiting", 1)


def test_an_approved_step_that_waits_for_its_worker_asks_nobody(
    alice: User, as_alice: Client, at_alice: Client, model: ModelServer, server: WebServer
) -> None:
    step = run(alice, model, {"url": f"{server.url}/echo", "payload": 1}, tool="EXTERNAL_WORKER")
    assert "Approvals (1)" in text_of(at_alice.get("/jobs/"))
    answer(as_alice, step, "approve")
    go_on(step)
    assert (step.status, len(server.requests)) == ("waiting", 1)
    assert answer(as_alice, step, "approve").status_code == 409
    assert "Approvals (" not in text_of(at_alice.get("/jobs/"))
    assert "outside answer" in as_alice.get(f"/api/jobs/{step.execution_id}").json()["waitingFor"]
    assert "Approve step" not in text_of(at_alice.get(f"/jobs/{step.execution_id}"))


def test_changed_arguments_are_sent(
    alice: User, as_alice: Client, model: ModelServer, server: WebServer, other: WebServer
) -> None:
    step = run(alice, model, {"method": "POST", "url": f"{server.url}/echo", "json": {"figures": 1}})
    changed = {"method": "POST", "url": f"{other.url}/echo", "json": {"figures": 0}}
    assert answer(as_alice, step, "approve", arguments=changed).status_code == 202
    assert go_on(step).status == "completed"
    assert (server.requests, other.requests[0]["body"]) == ([], {"figures": 0})


@pytest.mark.parametrize(
    "arguments", [{}, {"url": 1}, {"url": "x", "evil": 1}, [], "x", {"url": "https://a.b/?q={{secret.CRM}}"}]
)
def test_changed_arguments_must_fit_the_tool(
    alice: User, as_alice: Client, model: ModelServer, server: WebServer, arguments: Any
) -> None:
    step = run(alice, model, {"url": f"{server.url}/echo"})
    response = answer(as_alice, step, "approve", arguments=arguments)
    assert response.status_code == 400
    assert response.json()["errors"][0]["attr"].startswith("arguments")
    step.refresh_from_db()
    assert step.status == "waiting"


def test_an_approval_is_for_its_host(
    alice: User, as_alice: Client, model: ModelServer, server: WebServer, other: WebServer
) -> None:
    step = run(alice, model, {"url": f"{server.url}/redirect?to={other.url}/echo"})
    answer(as_alice, step, "approve")
    assert (go_on(step).error or {})["code"] == "host_not_named"
    assert other.requests == []


@pytest.mark.parametrize("by", ["url", "place", "name", "mode", "setting"])
def test_named_hosts(alice: User, model: ModelServer, server: WebServer, settings: Any, by: str) -> None:
    description = {"url": f"Post to {server.url}/echo.", "place": f"Send it to {server.place}"}.get(by, "Send it.")
    if by == "mode":
        Mode.objects.update_or_create(name="General", defaults={"hosts": [server.place]})
    if by == "setting":
        settings.CONFIG = settings.CONFIG.model_copy(update={"model_allowed_hosts": [server.place]})
    model.script.append(Reply(arguments=json.dumps({"url": f"{server.url}/echo"})))
    step = NewStep(f"to {server.url}" if by == "name" else "send", tool="HTTP_REQUEST", description=description)
    new = NewExecution(alice.pk, "workflow", "test", [step])
    execution = WorkflowExecution.objects.get(pk=engine.start(new, actor="alice"))
    work(execution, until_waiting=True)
    assert (execution.status, len(server.requests)) == ("completed", 1)


def test_a_named_host_cannot_pass_it_on(alice: User, model: ModelServer, server: WebServer, other: WebServer) -> None:
    step = run(alice, model, {"url": f"{other.url}/redirect?to={server.url}/echo"}, description=f"Ask {other.url}/")
    assert (step.error or {})["code"] == "host_not_named"
    assert server.requests == []


def test_nor_does_another_mode_or_port_name_it(
    alice: User, model: ModelServer, server: WebServer, other: WebServer
) -> None:
    Mode.objects.update_or_create(name="Sales", defaults={"hosts": [server.place]})
    step = run(alice, model, {"url": f"{server.url}/echo"}, description=f"Ask {other.url}/ about http://127.0.0.1/")
    assert (step.status, server.requests) == ("waiting", [])


def test_a_text_that_the_model_reads_names_nothing(alice: User, model: ModelServer, server: WebServer) -> None:
    model.script += [
        Reply(f"Send it to {server.url}/echo"),
        Reply(arguments=json.dumps({"url": f"{server.url}/echo"})),
    ]
    steps = [NewStep("read"), NewStep("send", tool="HTTP_REQUEST", depends_on=[0])]
    new = NewExecution(alice.pk, "workflow", "test", steps)
    execution = WorkflowExecution.objects.get(pk=engine.start(new, actor="alice"))
    work(execution, until_waiting=True)
    assert (execution.steps.get(index=1).status, server.requests) == ("waiting", [])


@pytest.mark.parametrize("name", ["test-model", "", "x" * 300])
def test_a_worker_that_died_after_the_choice_changes_nothing(
    alice: User, model: ModelServer, server: WebServer, name: str
) -> None:
    execution = started(alice)
    (claimed,) = claim(execution.pk)
    engine.keep_arguments(claimed, {"url": f"{server.url}/echo"}, name)
    turn(WORKER, [Outcome.returned(claimed)], [])
    work(execution, until_waiting=True)
    assert (execution.steps.get().status, server.requests) == ("waiting", [])


def test_the_authors_own_arguments_go_anywhere(alice: User, model: ModelServer, server: WebServer) -> None:
    execution = started(alice, arguments={"url": f"{server.url}/echo"})
    work(execution, until_waiting=True)
    assert (execution.status, len(server.requests)) == ("completed", 1)


def test_a_callback_is_no_answer(alice: User, client: Client, model: ModelServer, server: WebServer) -> None:
    step = run(alice, model, {"url": f"{server.url}/echo", "payload": 1}, tool="EXTERNAL_WORKER")
    assert (step.status, server.requests) == ("waiting", [])
    text, headers = signed({"executionId": str(step.execution_id), "stepId": str(step.pk), "status": "completed"})
    response = client.post("/api/workflow/update-step", text, content_type="application/json", headers=headers)
    assert response.status_code == 409
    step.refresh_from_db()
    assert step.status == "waiting"


def test_a_model_cannot_choose_who_answers(alice: User, model: ModelServer) -> None:
    step = run(alice, model, {"question": "Ok?", "group": "everybody"}, tool="APPROVAL")
    assert (step.error or {})["code"] == "bad_arguments"


class MailArguments(Arguments):
    to: str = "someone"


class Mail(Tool):
    slug = "PROBE_MAIL"
    description = "Sends a mail."
    slot = "thread"
    Arguments: ClassVar[type[Arguments]] = MailArguments
    has_outside_effects = True
    sent: ClassVar[list[str]] = []

    def run(self, context: StepContext, arguments: MailArguments) -> str:
        self.sent.append(arguments.to)
        return "sent"


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> type[Mail]:
    monkeypatch.setitem(registry._registry, Mail.slug, Mail())
    Mail.sent.clear()
    return Mail


def test_a_tool_that_declares_effects(alice: User, as_alice: Client, model: ModelServer, mail: type[Mail]) -> None:
    assert tools.get("PROBE_MAIL") is not None
    step = run(alice, model, {"to": "evil"}, tool="PROBE_MAIL")
    assert (step.status, mail.sent) == ("waiting", [])
    answer(as_alice, step, "approve", arguments={"to": "good"})
    assert (go_on(step).status, mail.sent) == ("completed", ["good"])
    work(started(alice, tool="PROBE_MAIL", arguments={"to": "own"}))
    assert mail.sent == ["good", "own"]


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("See https://API.example.com/v1, please.", {"api.example.com:443"}),
        ("http://a.example:8080/x", {"a.example:8080"}),
        ("Use api.example.com:443.", {"api.example.com:443"}),
        ("Read notes.md and report.pdf", set()),
        ("Look at 10:30 or at a.b:c", set()),
        ("https://good.example@evil.example/", set()),
        ("(https://good.example)", {"good.example:443"}),
        ("mail me@good.example:25", set()),
        ("ftp://good.example/", set()),
        ("https://", set()),
    ],
)
def test_hosts_that_a_text_names(text: str, hosts: set[str]) -> None:
    assert _hosts_in(text) == hosts
