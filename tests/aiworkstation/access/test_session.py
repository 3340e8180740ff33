"""A browser's session."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aiworkstation.audit.models import AuditEvent
from tests.support.jobs import BODY
from tests.support.users import client_of


@pytest.fixture
def browser_of_alice(alice: User) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    return client


def test_it_works(browser_of_alice: Client) -> None:
    client = browser_of_alice
    assert client.get("/api/jobs").status_code == 200
    client.cookies["csrftoken"] = "x" * 32
    response = client.post("/api/jobs", BODY, "application/json", headers={"X-CSRFToken": "x" * 32})
    assert response.status_code == 202


@pytest.mark.parametrize("body", [BODY, "{", ""])
def test_without_csrf_token(browser_of_alice: Client, body: object) -> None:
    response = browser_of_alice.post("/api/jobs", body, "application/json")
    assert response.status_code == 403
    assert response.json()["type"] == "client_error"
    event = AuditEvent.objects.get(action="request.refused")
    assert (event.actor, event.changes["status"]) == ("alice", 403)


def test_a_form_without_csrf_token(browser_of_alice: Client) -> None:
    assert browser_of_alice.post("/api/jobs", {"jobType": "workflow"}).status_code == 403


def test_a_token_needs_no_csrf_token(alice: User) -> None:
    client = client_of(alice)
    client.handler.enforce_csrf_checks = True
    assert client.post("/api/jobs", BODY, "application/json").status_code == 202
