"""`/settings/tokens`."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django.asserts import assertRedirects

from aiworkstation.access.models import ApiToken
from tests.support.html import text


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def test_it_works(alice: User, at_alice: Client, client: Client) -> None:
    response = at_alice.post("/settings/tokens", {"name": "my script"})
    secret = response.context["secret"]
    assert secret in text(response)
    assert "no-store" in response.headers["Cache-Control"]
    assert client.get("/api/jobs", headers=bearer(secret)).status_code == 200
    page = text(at_alice.get("/settings/tokens"))
    assert "my script" in page
    assert secret not in page, "it is shown once"


def test_a_name_that_is_too_long_is_refused_and_not_cut(at_alice: Client) -> None:
    page = text(at_alice.post("/settings/tokens", {"name": "x" * 101}))
    assert "A name has at most 100 characters. This one has 101." in page
    assert not ApiToken.objects.exists()


def test_revoke(alice: User, at_alice: Client, client: Client) -> None:
    token, secret = ApiToken.issue(alice, "old")
    assertRedirects(at_alice.post(f"/settings/tokens/{token.pk}/revoke"), "/settings/tokens")
    assert client.get("/api/jobs", headers=bearer(secret)).status_code == 401
    assert at_alice.post(f"/settings/tokens/{token.pk}/revoke").status_code == 302


def test_other_users_tokens_are_safe(alice: User, at_bob: Client, at_charlie: Client) -> None:
    token, _ = ApiToken.issue(alice, "alice's own")
    for client in (at_bob, at_charlie):
        assert "own" not in text(client.get("/settings/tokens"))
        client.post(f"/settings/tokens/{token.pk}/revoke")
    assert ApiToken.objects.filter(pk=token.pk).exists()


def test_scopes_and_expiry(alice: User, at_alice: Client, client: Client) -> None:
    page = text(at_alice.get("/settings/tokens"))
    assert "Upload and delete documents" in page
    assert "other users" not in page, "only staff can give the scope admin"
    response = at_alice.post("/settings/tokens", {"name": "reader", "expires": "30", "scopes": ["", "read"]})
    token = ApiToken.objects.get()
    assert (token.scopes, token.is_expired) == (["read"], False)
    assert token.expires_at is not None
    assert abs(token.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)
    assert client.get("/api/jobs", headers=bearer(response.context["secret"]), REMOTE_ADDR="203.0.113.9").json()
    assert "from 203.0.113.9" in text(at_alice.get("/settings/tokens"))


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"scopes": [""]}, "Select at least one scope."),
        ({"scopes": ["", "admin"]}, "admin is not one of the available choices."),
        ({"scopes": ["read", "write"]}, "write is not one of the available choices."),
        ({"expires": "tomorrow"}, "tomorrow is not one of the available choices."),
    ],
)
def test_a_wrong_choice_is_refused(at_alice: Client, form: dict[str, object], error: str) -> None:
    assert error in text(at_alice.post("/settings/tokens", {"name": "x", **form}))
    assert not ApiToken.objects.exists()


def test_staff_choose_the_scope_admin(charlie: User, at_charlie: Client) -> None:
    assert "other users" in text(at_charlie.get("/settings/tokens"))
    at_charlie.post("/settings/tokens", {"name": "x", "scopes": ["", "read", "admin"]})
    assert ApiToken.objects.get().scopes == ["read", "admin"]
