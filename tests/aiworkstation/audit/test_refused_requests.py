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
    budget = Budget(2)
    monkeypatch.setattr(refused_requests, "anonymous_events", budget)
    for _ in range(3):
        client.get("/api/jobs")
        client.post("/api/jobs", {}, "application/json")
    assert AuditEvent.objects.count() == 2
    budget.record_dropped()
    event = AuditEvent.objects.get(action="refusals.dropped")
    assert (event.actor, event.object) == ("anonymous", "audit:anonymous")
    assert event.changes == {"count": 1, "actions": {"request.refused": 1}, "seconds": 60.0}
    budget.record_dropped()
    assert AuditEvent.objects.count() == 3, "each is counted once"


def test_a_new_minute_has_a_new_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([60.0, 119.9, 120.0])
    monkeypatch.setattr("aiworkstation.audit.refused_requests.time.monotonic", lambda: next(clock))
    budget = Budget(1)
    assert [budget.spend("x") for _ in range(3)] == [True, False, True]
    budget.close()


@pytest.mark.django_db(transaction=True)
def test_the_end_of_the_window_records_what_was_dropped() -> None:
    budget = Budget(2, seconds=0.2)
    spent = [budget.spend(action) for action in ["a", "a", "a", "b", "b"] * 4]
    timer = budget.timer
    assert timer is not None
    timer.join(10)
    found = AuditEvent.objects.filter(action="refusals.dropped")
    assert sum(event.changes["count"] for event in found) + sum(spent) == 20
    assert found[0].changes["actions"]["b"] >= 6
