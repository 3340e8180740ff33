"""Alerts to webhooks of staff that ask for them, also while no worker is alive."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.exceptions import ValidationError

from alerts.models import AlertRule, Kind
from alerts.watch import LEASE_SECONDS, Watch
from tests.alerts.conftest import age, alive_worker, rule_for, watch_all
from tests.support.jobs import claim, complete_all, fail, start_job
from tests.webhooks.conftest import Endpoint, drain, hook, send_all
from tests.webhooks.conftest import endpoint as endpoint  # the fixture
from webhooks import manage
from webhooks.models import ALERT_TYPES, Delivery, Webhook

pytestmark = pytest.mark.django_db(transaction=True)
TYPES = list(ALERT_TYPES)


def messages(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [json.loads(body) for body in endpoint.bodies]


def test_it_works(alice: User, charlie: User, endpoint: Endpoint) -> None:
    hook(charlie, endpoint, types=TYPES)
    rule = rule_for(Kind.JOB_FAILED)
    job = start_job(alice)
    fail(claim(job.pk)[0])
    watch_all()
    drain()
    send_all()
    complete_all(start_job(alice))
    watch_all()
    drain()
    send_all()
    started, resolved = messages(endpoint)
    assert (started["type"], resolved["type"]) == ("alert.started", "alert.resolved")
    data = started["data"]
    assert set(data) == {"alertId", "rule", "kind", "subject", "summary", "detail", "startedAt", "resolvedAt"}
    assert (data["rule"], data["kind"], data["subject"]) == (rule.name, "job_failed", "workflow")
    assert data["resolvedAt"] is None
    assert resolved["data"]["alertId"] == data["alertId"]
    assert resolved["data"]["startedAt"] == data["startedAt"]
    assert resolved["data"]["outcome"] == "A job of this type was completed."


def test_a_rule_without_webhooks(alice: User, charlie: User, endpoint: Endpoint) -> None:
    hook(charlie, endpoint, types=TYPES)
    rule_for(Kind.JOB_FAILED, sends_webhooks=False)
    fail(claim(start_job(alice).pk)[0])
    watch_all()
    drain()
    assert not Delivery.objects.exists()


def test_only_webhooks_that_ask(alice: User, charlie: User, endpoint: Endpoint) -> None:
    hook(charlie, endpoint)
    hook(charlie, endpoint, types=["alert.resolved"])
    hook(charlie, endpoint, types=TYPES, is_paused=True)
    rule_for(Kind.JOB_FAILED)
    fail(claim(start_job(alice).pk)[0])
    watch_all()
    drain()
    assert not Delivery.objects.exists()


def test_only_staff(alice: User, as_alice: Client, at_alice: Client, endpoint: Endpoint) -> None:
    body = {"url": f"{endpoint.url}/hook", "types": ["alert.started"]}
    refused = as_alice.post("/api/webhooks", body, content_type="application/json")
    assert refused.status_code == 400
    (error,) = refused.json()["errors"]
    assert (error["code"], error["attr"]) == ("staff_only", "types")
    webhook = hook(alice, endpoint)
    changed = as_alice.patch(f"/api/webhooks/{webhook.pk}", {"types": TYPES}, content_type="application/json")
    assert changed.status_code == 400
    assert at_alice.post("/webhooks", body).status_code == 400
    assert "alert.started" not in at_alice.get("/webhooks").content.decode()
    assert Webhook.objects.get().types == webhook.types


def test_staff_cannot_select_them_for_others(alice: User, charlie: User, endpoint: Endpoint) -> None:
    webhook = hook(alice, endpoint)
    with pytest.raises(ValidationError, match="staff"):
        manage.change(charlie, webhook, {"types": TYPES})


def test_who_is_not_staff_any_more_gets_none(alice: User, charlie: User, endpoint: Endpoint) -> None:
    hook(charlie, endpoint, types=TYPES)
    User.objects.filter(pk=charlie.pk).update(is_staff=False)
    rule_for(Kind.JOB_FAILED)
    fail(claim(start_job(alice).pk)[0])
    watch_all()
    drain()
    assert not Delivery.objects.exists()


def test_while_no_worker_is_alive(charlie: User, endpoint: Endpoint) -> None:
    """The message is sent at once, and once: the job that would send it finds it delivered."""
    hook(charlie, endpoint, types=TYPES)
    watch = Watch()
    age("workflow_duties", "lease_until", 2 * LEASE_SECONDS)
    AlertRule.objects.create(name="none", kind=Kind.NO_WORKER, limit=0, calm_seconds=0)
    while not endpoint.requests:
        watch.do()
    watch.do()
    assert [message["type"] for message in messages(endpoint)] == ["alert.started"]
    delivery = Delivery.objects.with_status().get()
    assert delivery.status == "delivered"
    alive_worker()
    send_all()
    assert len(endpoint.requests) == 1


def test_an_endpoint_that_fails_meanwhile_is_tried_once_a_minute(charlie: User, endpoint: Endpoint) -> None:
    hook(charlie, endpoint, types=TYPES)
    endpoint.status = 500
    watch = Watch()
    age("workflow_duties", "lease_until", 2 * LEASE_SECONDS)
    AlertRule.objects.create(name="none", kind=Kind.NO_WORKER, limit=0, calm_seconds=0)
    while not endpoint.requests:
        watch.do()
    watch.do()
    assert len(endpoint.requests) == 1
    age("webhook_tries", "at", 61)
    endpoint.status = 200
    watch.do()
    assert len(endpoint.requests) == 2
    assert Delivery.objects.with_status().get().status == "delivered"
