"""`Authorization: Bearer <token>`"""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from aiworkstation.access.models import ApiToken
from aiworkstation.audit.models import AuditEvent


def test_it_works(client: Client, alice: User) -> None:
    token, text = ApiToken.issue(alice)
    assert client.get("/api/jobs", headers={"authorization": f"Bearer {text}"}).status_code == 200
    assert client.get("/api/jobs", headers={"authorization": f"bearer  {text} "}).status_code == 200
    assert text not in str(vars(token))


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer nonsense", "Bearer ä", "Basic YTpi", "Token x"])
def test_others_are_refused(client: Client, db: None, header: str) -> None:
    response = client.get("/api/jobs", headers={"authorization": header} if header else {})
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'
    assert response.json()["type"] == "client_error"


def test_a_user_who_may_not_sign_in_is_refused(as_alice: Client, alice: User) -> None:
    User.objects.update(is_active=False)
    assert as_alice.get("/api/jobs").status_code == 401


def test_last_use_is_written_once_a_minute(as_alice: Client, alice: User) -> None:
    def used_after_a_call() -> object:
        as_alice.get("/api/jobs")
        return ApiToken.objects.get().last_used_at

    first = used_after_a_call()
    assert first is not None
    assert used_after_a_call() == first
    long_ago = timezone.now() - timedelta(seconds=61)
    ApiToken.objects.update(last_used_at=long_ago)
    assert used_after_a_call() != long_ago


def test_another_address_is_noted_at_once(as_alice: Client, alice: User) -> None:
    for address in ("203.0.113.1", "203.0.113.2"):
        as_alice.get("/api/jobs", REMOTE_ADDR=address)
        assert ApiToken.objects.get().last_used_from == address


def test_an_expired_token(as_alice: Client, alice: User) -> None:
    ApiToken.objects.update(expires_at=timezone.now() + timedelta(minutes=1))
    assert as_alice.get("/api/jobs").status_code == 200
    ApiToken.objects.update(expires_at=timezone.now())
    response = as_alice.get("/api/jobs")
    assert response.status_code == 401
    assert response.json()["errors"][0]["code"] == "token_expired"


def test_callers_with_a_bad_token_are_recorded(client: Client, db: None) -> None:
    client.get("/api/jobs")
    assert not AuditEvent.objects.exists()
    client.get("/api/jobs", headers={"authorization": "Bearer nonsense"})
    event = AuditEvent.objects.get()
    assert (event.actor, event.action, event.object) == ("anonymous", "request.refused", "path:/api/jobs")
    assert event.changes["status"] == 401
    assert "nonsense" not in str(event.changes)
