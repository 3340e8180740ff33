"""`/settings/tokens`."""

from django.contrib.auth.models import User
from django.test import Client
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
