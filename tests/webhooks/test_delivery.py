"""WEBHOOK_DELIVERY: tries, signatures, responses, and webhooks that are paused because they fail."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from aiworkstation.audit.models import AuditEvent
from tests.mail.conftest import reachable, send_due
from tests.mail.conftest import smtp as smtp  # the fixture
from tests.servers.smtp_server import SmtpServer
from tests.support.html import text
from tests.support.runner import work
from tests.webhooks.conftest import Endpoint, delivery_jobs, hook, in_transactions, send_all
from webhooks import deliver, manage, signing
from webhooks.deliver import DELAYS as REAL_DELAYS
from webhooks.models import Delivery, Try, Webhook
from workflows import engine
from workflows.models import StepStatus, WorkflowStep

pytestmark = in_transactions


@pytest.fixture(autouse=True)
def without_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three attempts at once."""
    for module in ("webhooks.deliver", "webhooks.tools"):
        monkeypatch.setattr(f"{module}.DELAYS", (0.01, 0.01))


def send(webhook: Webhook, event_id: int = 1) -> Delivery:
    """Stores a delivery and runs a worker until it is over."""
    body = deliver.message("job.completed", timezone.now(), {"jobId": "1"})
    delivery = deliver.store(webhook, "job.completed", body, actor="test", event_id=event_id)
    send_all()
    return Delivery.objects.with_status().get(pk=delivery.pk)


def error() -> Any:
    return WorkflowStep.objects.latest("finished_at").error


def test_every_try_has_the_same_id_and_body(alice: User, endpoint: Endpoint) -> None:
    endpoint.status = 500
    delivery = send(hook(alice, endpoint))
    assert delivery.status == "failed"
    assert len(endpoint.requests) == 3
    assert {request["headers"]["webhook-id"] for request in endpoint.requests} == {delivery.message_id}
    assert len(set(endpoint.bodies)) == 1
    assert [(each.status_code, each.response) for each in delivery.tries.all()] == [(500, "thanks")] * 3
    assert error()["code"] == "http_500"


def test_the_delays_are_three_days() -> None:
    assert sum(REAL_DELAYS) == pytest.approx(75.6 * 3600, rel=0.01)


@pytest.mark.parametrize(("status", "after", "least"), [(503, "120", 90), (500, "120", 3), (429, "9" * 9, 18 * 3600)])
def test_the_engine_waits_as_long_as_the_tool_says(
    alice: User, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, status: int, after: str, least: int
) -> None:
    """It never waits longer than the longest delay. Up to a quarter is taken off at random."""
    monkeypatch.setattr("webhooks.tools.DELAYS", REAL_DELAYS)
    endpoint.status, endpoint.headers = status, {"retry-after": after}
    deliver.store(hook(alice, endpoint), "job.completed", "{}", actor="test", event_id=1)
    waited: list[timedelta] = []

    def note_and_cancel() -> bool:
        step = WorkflowStep.objects.filter(status=StepStatus.WAITING).first()
        if step is None or step.ready_at is None:
            return False
        waited.append(step.ready_at - timezone.now())
        return engine.cancel(step.execution_id, actor="test")

    async def until_it_waits(runner: Any) -> None:
        while not await asyncio.to_thread(note_and_cancel):
            await asyncio.sleep(0.02)

    work(*delivery_jobs(), during=until_it_waits)
    assert timedelta(seconds=least) <= waited[0] + timedelta(seconds=2)
    assert waited[0] <= timedelta(seconds=least) / 0.75 + timedelta(seconds=2)
    assert len(endpoint.requests) == 1


def test_redirects_are_not_followed(alice: User, endpoint: Endpoint) -> None:
    endpoint.status, endpoint.headers = 302, {"location": f"{endpoint.url}/elsewhere"}
    send(hook(alice, endpoint))
    assert {request["path"] for request in endpoint.requests} == {"/hook"}
    assert "Redirects are not followed" in error()["message"]


def test_the_beginning_of_a_response_is_kept(alice: User, endpoint: Endpoint) -> None:
    endpoint.text = "ü\0" * 2000
    delivery = send(hook(alice, endpoint))
    (only,) = delivery.tries.all()
    assert only.response == "ü\ufffd" * 500
    assert delivery.status == "delivered"


def test_an_endpoint_that_does_not_listen_is_an_attempt(alice: User, endpoint: Endpoint) -> None:
    webhook = hook(alice, endpoint)
    endpoint.shutdown()
    endpoint.server_close()
    delivery = send(webhook)
    assert [each.status_code for each in delivery.tries.all()] == [None] * 3
    assert "Nothing answers" in delivery.tries.all()[0].error


def test_a_private_address_is_not_tried(alice: User, endpoint: Endpoint, settings: Any) -> None:
    """This is so even if it was allowed when the webhook was created."""
    webhook = hook(alice, endpoint)
    settings.CONFIG = settings.CONFIG.model_copy(update={"http_allowed_private_hosts": []})
    delivery = send(webhook)
    assert endpoint.requests == []
    assert delivery.tries.count() == 1
    assert error()["code"] == "address_not_allowed"


class TestSecrets:
    def test_both_secrets_sign_for_a_day(self, alice: User, endpoint: Endpoint) -> None:
        webhook = hook(alice, endpoint)
        before = signing.secret_of(webhook)
        webhook = manage.rotate_secret(alice, webhook)
        after = signing.secret_of(webhook)
        assert before != after
        send(webhook)
        for secret in (before, after):
            Verifier(secret).verify(endpoint.bodies[0], endpoint.requests[0]["headers"])
        Webhook.objects.update(rotated_at=timezone.now() - timedelta(hours=24))
        webhook.refresh_from_db()
        send(webhook, 2)
        Verifier(after).verify(endpoint.bodies[1], endpoint.requests[1]["headers"])
        with pytest.raises(WebhookVerificationError):
            Verifier(before).verify(endpoint.bodies[1], endpoint.requests[1]["headers"])

    def test_a_new_secret_key_has_no_gap(self, alice: User, endpoint: Endpoint, settings: Any) -> None:
        webhook = hook(alice, endpoint)
        secret = signing.secret_of(webhook)
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "another key that is long enough for the checks of Django, and random"
        send(webhook)
        for each in (secret, signing.secret_of(webhook)):
            Verifier(each).verify(endpoint.bodies[0], endpoint.requests[0]["headers"])

    def test_webhooks_have_different_secrets(self, alice: User, endpoint: Endpoint) -> None:
        first, second = hook(alice, endpoint), hook(alice, endpoint)
        assert signing.secret_of(first) != signing.secret_of(second)
        assert signing.secret_of(first).startswith("whsec_")


class TestFailing:
    def test_a_webhook_that_fails_for_days_is_paused(self, alice: User, at_alice: Client, endpoint: Endpoint) -> None:
        webhook = hook(alice, endpoint)
        endpoint.status = 500
        send(webhook)
        webhook.refresh_from_db()
        assert webhook.failing_since is not None
        assert not webhook.is_paused
        Webhook.objects.update(failing_since=timezone.now() - timedelta(days=3))
        send(webhook, 2)
        webhook.refresh_from_db()
        assert webhook.is_paused
        event = AuditEvent.objects.get(action="webhook.paused")
        assert event.object == f"webhook:{webhook.pk}"
        assert "failed for 3 days" in event.changes["reason"]
        for address in ("/webhooks", f"/webhooks/{webhook.pk}"):
            assert "Every delivery failed for 3 days" in text(at_alice.get(address))

    def test_a_success_ends_the_failing(self, alice: User, endpoint: Endpoint) -> None:
        webhook = hook(alice, endpoint)
        Webhook.objects.update(failing_since=timezone.now() - timedelta(days=4))
        send(webhook)
        webhook.refresh_from_db()
        assert (webhook.failing_since, webhook.is_paused) == (None, False)

    def test_an_endpoint_that_is_gone(self, alice: User, endpoint: Endpoint) -> None:
        endpoint.status = 410
        webhook = hook(alice, endpoint)
        send(webhook)
        assert len(endpoint.requests) == 1
        webhook.refresh_from_db()
        assert webhook.is_paused
        send(webhook, 2)
        assert len(endpoint.requests) == 1
        assert error()["code"] == "webhook_paused"

    def test_resuming_resets_the_failures(self, alice: User, endpoint: Endpoint) -> None:
        webhook = hook(alice, endpoint)
        Webhook.objects.update(failing_since=timezone.now() - timedelta(days=4), is_paused=True, paused_reason="x")
        webhook = manage.change(alice, webhook, {"is_paused": False})
        assert (webhook.failing_since, webhook.paused_reason) == (None, "")
        endpoint.status = 500
        send(webhook)
        webhook.refresh_from_db()
        assert not webhook.is_paused


def test_a_test_is_tried_once_even_if_paused(alice: User, endpoint: Endpoint) -> None:
    webhook = hook(alice, endpoint, is_paused=True)
    endpoint.status = 500
    manage.send_test(alice, webhook)
    send_all()
    assert len(endpoint.requests) == 1
    assert endpoint.requests[0]["body"]["type"] == "webhook.test"
    webhook.refresh_from_db()
    assert webhook.failing_since is None


def test_resend_has_the_same_id(alice: User, endpoint: Endpoint) -> None:
    webhook = hook(alice, endpoint)
    delivery = send(webhook)
    manage.resend(alice, delivery)
    send_all()
    first, second = endpoint.requests
    assert first["headers"]["webhook-id"] == second["headers"]["webhook-id"]
    assert first["body"] == second["body"]
    assert Try.objects.filter(delivery=delivery).count() == 2
    assert AuditEvent.objects.filter(action="webhook.resent", actor="alice").exists()


def test_the_owner_of_a_paused_webhook_gets_one_mail(alice: User, endpoint: Endpoint, smtp: SmtpServer) -> None:
    reachable(alice)
    webhook = hook(alice, endpoint)
    endpoint.status = 410
    for number in (1, 2):
        deliver.store(webhook, "job.completed", "{}", actor="test", event_id=number)
    send_all()
    webhook.refresh_from_db()
    assert webhook.is_paused
    send_due()
    (received,) = smtp.mails
    assert received.recipients == ["alice@example.com"]
    assert webhook.url in received.body
    assert "410" in received.body
    assert f"/webhooks/{webhook.pk}" in received.body
