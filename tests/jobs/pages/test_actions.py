"""Cancel and retry, with and without JavaScript."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.asserts import assertRedirects

from tests.support.html import text
from tests.support.jobs import claim, fail, start_job

HTMX = {"hx-request": "true"}


def test_cancel(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    response = at_alice.post(f"/jobs/{job.pk}/cancel")
    assertRedirects(response, f"/jobs/{job.pk}")
    job.refresh_from_db()
    assert job.status == "cancelled"


def test_cancel_with_htmx_makes_the_page_poll(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    response = at_alice.post(f"/jobs/{job.pk}/cancel", headers=HTMX)
    assert response.status_code == 200
    assert "refresh-fragments" in response.headers["HX-Trigger"]
    job.refresh_from_db()
    assert job.status == "cancelled"


def test_cancel_of_a_finished_job_shows_a_message(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    at_alice.post(f"/jobs/{job.pk}/cancel")
    response = at_alice.post(f"/jobs/{job.pk}/cancel", headers=HTMX)
    assert "has finished already" in text(response)
    assert 'id="messages"' in text(response)
    assert 'hx-swap-oob="true"' in text(response)


def test_retry(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    fail(claim(job.pk)[0])
    assert "Retry" in text(at_alice.get(f"/jobs/{job.pk}"))
    assertRedirects(at_alice.post(f"/jobs/{job.pk}/retry"), f"/jobs/{job.pk}")
    job.refresh_from_db()
    assert job.status == "queued"
    page = text(at_alice.post(f"/jobs/{job.pk}/retry", follow=True))
    assert "cannot be retried" in page


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_other_users_are_refused(alice: User, at_bob: Client, at_charlie: Client, client: Client, verb: str) -> None:
    job = start_job(alice)
    assert at_bob.post(f"/jobs/{job.pk}/{verb}").status_code == 404
    assert client.post(f"/jobs/{job.pk}/{verb}").status_code == 302
    job.refresh_from_db()
    assert job.status == "queued"
    assert at_charlie.post(f"/jobs/{job.pk}/{verb}").status_code == 302


def test_get_and_requests_without_the_csrf_token_are_refused(alice: User) -> None:
    job = start_job(alice)
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    assert client.get(f"/jobs/{job.pk}/cancel").status_code == 405
    refused = client.post(f"/jobs/{job.pk}/cancel")
    assert refused.status_code == 403
    assert "submit the form again" in text(refused)
    job.refresh_from_db()
    assert job.status == "queued"
