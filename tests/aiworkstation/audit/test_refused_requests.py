"""Audit events of refused requests."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aiworkstation.audit import refused_requests
from aiworkstation.audit.models import AuditEvent
from aiworkstation.audit.refused_requests import Budget
from tests.support.jobs import start_job


def test_it_works(as_bob: Client, alice: User) -> None:
    execution = start_job(alice)
    as_bob.post(f"/api/jobs/{execution.pk}/cancel/", headers={"X-Request-Id": "r1"})
    event = AuditEvent.objects.get(action="request.refused")
    assert (event.actor, event.object, event.execution_id) == ("bob", f"job:{execution.pk}", None)
    assert event.changes == {
        "status": 404,
        "method": "POST",
        "path": f"/api/jobs/{execution.pk}/cancel/",
        "requestId": "r1",
    }


def test_a_missing_object_is_no_refusal(as_bob: Client) -> None:
    as_bob.get("/api/jobs/nothing")
    as_bob.get("/api/nothing")
    assert not AuditEvent.objects.exists()


def test_anonymous_callers_are_recorded_within_a_budget(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused_requests, "anonymous_events", Budget(2))
    for _ in range(3):
        client.get("/api/jobs")
        client.post("/api/jobs", {}, "application/json")
    assert AuditEvent.objects.count() == 2


def test_a_new_minute_has_a_new_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([60.0, 119.9, 120.0])
    monkeypatch.setattr("aiworkstation.audit.refused_requests.time.monotonic", lambda: next(clock))
    budget = Budget(1)
    assert [budget.spend() for _ in range(3)] == [True, False, True]
