"""An endpoint of another system, and the maintenance and the worker that serve it."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django.fixtures import Settings

from aiworkstation.audit.models import AuditCursor, AuditEvent
from tests.servers.local import Handler, LocalServer
from tests.support.runner import work
from webhooks import manage
from webhooks.deliver import CURSOR
from webhooks.models import Webhook
from webhooks.outbox import Outbox
from workflows.models import WorkflowExecution
from workflows.worker.maintenance import Maintenance

in_transactions = pytest.mark.django_db(transaction=True)


class Endpoint(LocalServer):
    """Answers every request with `status`, `headers` and `text`. `bodies` are the bytes that arrived."""

    def __init__(self) -> None:
        super().__init__(EndpointHandler)
        self.status = 200
        self.headers: dict[str, str] = {}
        self.text = "thanks"
        self.bodies: list[bytes] = []


class EndpointHandler(Handler):
    server: Endpoint

    def do_POST(self) -> None:
        self.read_request()
        self.server.bodies.append(self.raw)
        self.answer(self.server.status, self.server.text.encode(), self.server.headers)


@pytest.fixture
def endpoint(settings: Settings) -> Iterator[Endpoint]:
    with Endpoint() as server:
        settings.CONFIG = settings.CONFIG.model_copy(update={"http_allowed_private_hosts": [server.place]})
        yield server


def hook(user: User, endpoint: Endpoint, **fields: Any) -> Webhook:
    return manage.create(user, {"url": f"{endpoint.url}/hook", **fields})


def delivery_jobs() -> list[WorkflowExecution]:
    return list(WorkflowExecution.objects.filter(job_type="webhook-delivery").order_by("created_at"))


def drain(outbox: Outbox | None = None) -> int:
    """Runs the duty until all events are processed. Other tests' transactions on the server delay it."""
    outbox, started, deadline = outbox or Outbox(), 0, time.monotonic() + 240
    last = AuditEvent.objects.order_by("pk").values_list("pk", flat=True).last() or 0
    while True:
        started += outbox.do()
        if not Webhook.objects.exists() or AuditCursor.objects.get(pk=CURSOR).last_id >= last:
            return started
        assert time.monotonic() < deadline, "a transaction has been open too long"
        time.sleep(0.02)


def do_rounds() -> None:
    """Runs maintenance until its duty has processed all events."""
    maintenance, deadline = Maintenance(), time.monotonic() + 240
    last = AuditEvent.objects.order_by("pk").values_list("pk", flat=True).last() or 0
    while AuditCursor.objects.get(pk=CURSOR).last_id < last and time.monotonic() < deadline:
        maintenance.do_round()
        time.sleep(0.02)


def send_all() -> list[WorkflowExecution]:
    """Runs a worker until every message was sent or given up."""
    jobs = delivery_jobs()
    if jobs:
        work(*jobs)
    return jobs
