"""The landing page, sign-in and sign-out, and the headers of every page."""

from django.contrib.auth.models import User
from django.test import Client
from pytest_django.asserts import assertRedirects

from tests.support.html import text


def test_the_icon_is_where_browsers_look(client: Client) -> None:
    assert client.get("/favicon.ico")["Location"].endswith(".svg")


def test_the_landing_page(client: Client, db: None) -> None:
    page = text(client.get("/"))
    assert "Background AI jobs" in page
    assert 'href="/login"' in page
    assert "jobs-panel" not in page


def test_a_signed_in_user_is_sent_to_the_jobs(at_alice: Client) -> None:
    assertRedirects(at_alice.get("/"), "/jobs/")


def test_sign_in_and_out(client: Client, alice: User) -> None:
    alice.set_password("correct horse")
    alice.save()
    wrong = client.post("/login", {"username": "alice", "password": "wrong", "next": "/search"})
    assert 'role="alert"' in text(wrong)
    right = client.post("/login", {"username": "alice", "password": "correct horse", "next": "/search"})
    assertRedirects(right, "/search")
    assert client.get("/logout").status_code == 405
    assertRedirects(client.post("/logout"), "/")
    assert client.get("/search").status_code == 302


def test_nothing_inline_and_nothing_from_elsewhere(client: Client, at_alice: Client) -> None:
    pages = [client.get("/"), client.get("/login"), client.get("/nowhere")]
    pages += [
        at_alice.get(address) for address in ("/jobs/", "/jobs/new", "/documents/", "/search", "/settings/tokens")
    ]
    for page in pages:
        assert page.headers["Content-Security-Policy"].startswith("default-src 'self';")
        for unwanted in ("style=", "<style", "onclick", "<script>", "http://", "https://"):
            assert unwanted not in text(page)


def test_not_found(at_alice: Client) -> None:
    missing = at_alice.get("/nowhere")
    assert missing.status_code == 404
    assert "Not found" in text(missing)
