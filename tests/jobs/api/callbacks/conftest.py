"""Steps that outside workers have, and their callbacks."""

import json
from collections.abc import Callable, Iterator
from typing import Any, cast
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from pytest_django.fixtures import Settings

from aiworkstation.audit import refused_requests
from aiworkstation.audit.models import AuditEvent
from aiworkstation.audit.refused_requests import Budget
from tests.servers.outside_worker import SECRET, signed
from tests.support.jobs import WORKER, claim
from tests.support.turns import turn
from workflows import engine
from workflows.engine.claims import Claim
from workflows.engine.outcomes import Outcome
from workflows.models import SeenWebhook, WorkflowExecution, WorkflowStep
from workflows.network import webhooks
from workflows.steps import NewExecution, NewStep

STEP = "/api/workflow/update-step"
EXECUTION = "/api/workflow/update-execution"

Start = Callable[..., WorkflowExecution]
Configure = Callable[..., None]


@pytest.fixture(autouse=True)
def configure(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Sets CALLBACK_SECRET, and allows events of anonymous callers again."""

    def change(**values: Any) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update=values)

    change(callback_secret=SECRET)
    budget = Budget(60)
    monkeypatch.setattr(refused_requests, "anonymous_events", budget)
    monkeypatch.setattr("jobs.api.callbacks.anonymous_events", budget)
    yield change
    budget.close()


def outside(name: str = "outside", url: str = "https://worker.example/x", **step: Any) -> NewStep:
    arguments = {"url": url, **step.pop("arguments", {})}
    return NewStep(name, tool="EXTERNAL_WORKER", arguments=arguments, **step)


@pytest.fixture
def start(alice: User) -> Start:
    def start(*new: NewStep, **options: Any) -> WorkflowExecution:
        execution = NewExecution(alice.pk, "workflow", "test", list(new), **options)
        return WorkflowExecution.objects.get(pk=engine.start(execution, actor="alice"))

    return start


def hand_over(claim: Claim, silence: float = 60.0) -> None:
    turn(WORKER, [Outcome.handed_over(claim, silence)], [])


@pytest.fixture
def waiting(start: Start) -> Claim:
    """The claim of a step that an outside worker has. Another step depends on it."""
    execution = start(outside(), NewStep("behind", depends_on=[0]))
    (claimed,) = claim(execution.pk)
    hand_over(claimed)
    return claimed


def token(claim: Claim) -> str:
    return webhooks.callback_token(claim.step_id, claim.attempt)


def update_of(claim: Claim, status: str, **more: Any) -> dict[str, Any]:
    """The body of a callback."""
    body = {"executionId": str(claim.execution_id), "stepId": str(claim.step_id), "callbackToken": token(claim)}
    return {**body, "status": status, **more}


def send(body: Any, *, path: str = STEP, headers: dict[str, str] | None = None, **signing: Any) -> HttpResponse:
    """Posts like an outside worker: no session, API token or CSRF token. `headers` replace the signed ones."""
    text, own = signed(body, **signing)
    sent = own if headers is None else {"content-type": "application/json", **headers}
    client = Client(enforce_csrf_checks=True)
    kind = sent.pop("content-type")
    return cast(HttpResponse, client.post(path, text, content_type=kind, headers=sent))


def step_of(claim: Claim) -> WorkflowStep:
    return WorkflowStep.objects.get(pk=claim.step_id)


def state() -> list[Any]:
    """All that a refused callback must leave as it is."""
    rows = [list(model.objects.order_by("pk").values()) for model in (WorkflowExecution, WorkflowStep, SeenWebhook)]
    return [*rows, AuditEvent.objects.exclude(action__startswith="callback.").count()]


def audit_events(action: str, execution: UUID | None = None) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=action, execution_id=execution).order_by("id"))


def errors(answer: HttpResponse) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(answer.content)
    assert set(body) == {"type", "errors"}
    first: dict[str, Any] = body["errors"][0]
    return first
