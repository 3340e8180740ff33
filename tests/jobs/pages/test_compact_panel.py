"""The compact panel, on every page and in templates of other apps."""

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.template import engines
from django.test import Client, RequestFactory
from pytest_django.asserts import assertNumQueries

from tests.support.html import is_polling, poll_url, swapped, text
from tests.support.jobs import claim, complete_all, start_job
from workflows.models import WorkflowStep

LIVE = "jobs-panel-live"
FOREIGN = "{% load jobs_panel %}<main>Theirs</main>{% jobs_panel %}"


def render(user: User | AnonymousUser) -> str:
    request = RequestFactory().get("/theirs")
    request.user = user
    return engines["django"].from_string(FOREIGN).render({}, request)


@pytest.mark.parametrize("address", ["/jobs/", "/jobs/new", "/documents/", "/search", "/settings/tokens"])
def test_it_works_on_every_page(alice: User, at_alice: Client, address: str) -> None:
    job = start_job(alice)
    page = at_alice.get(address)
    assert f'id="panel-{job.pk}-state"' in text(page)
    assert f'action="/jobs/{job.pk}/cancel"' in text(page)
    assert is_polling(page, LIVE)


def test_it_is_empty_if_no_job_is_unfinished(alice: User, at_alice: Client) -> None:
    complete_all(start_job(alice))
    page = at_alice.get("/search")
    panel = text(page)[text(page).index('id="jobs-panel"') : text(page).index(f'id="{LIVE}"')]
    assert "<li>" not in panel
    assert "Unfinished" not in panel
    assert not is_polling(page, LIVE)


def test_an_unchanged_poll_swaps_nothing(alice: User, at_alice: Client) -> None:
    claim(start_job(alice).pk)
    url = poll_url(at_alice.get("/search"), LIVE)
    with assertNumQueries(5):  # session, user, jobs, figures, message
        answer = at_alice.get(url)
    assert answer.status_code == 204


def test_a_poll_brings_the_progress_alone(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    (step,) = claim(job.pk)
    url = poll_url(at_alice.get("/search"), LIVE)
    WorkflowStep.objects.filter(pk=step.step_id).update(message="page 3 of 5", progress=60)
    answer = at_alice.get(url)
    assert swapped(answer) == [f"panel-{job.pk}-state", LIVE]
    assert "page 3 of 5" in text(answer)


def test_a_job_that_starts_later_appears_at_the_next_poll(alice: User, at_alice: Client) -> None:
    url = poll_url(at_alice.get("/search"), LIVE)
    assert at_alice.get(url).status_code == 204
    job = start_job(alice)
    answer = at_alice.get(url)
    assert f'id="panel-{job.pk}-state"' in text(answer)
    assert is_polling(answer, LIVE)


def test_the_last_finished_job_empties_it_and_stops_the_polling(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    url = poll_url(at_alice.get("/search"), LIVE)
    complete_all(job)
    answer = at_alice.get(url)
    assert swapped(answer) == ["jobs-panel", LIVE]
    assert str(job.pk) not in text(answer)
    assert not is_polling(answer, LIVE)


def test_it_shows_five_jobs_and_a_link_to_all(alice: User, at_alice: Client) -> None:
    for _ in range(7):
        start_job(alice)
    page = text(at_alice.get("/search"))
    assert page.count('id="panel-') == 5 * 3  # state, actions, button
    assert "All unfinished jobs" in page


def test_in_a_template_of_another_app(alice: User) -> None:
    job = start_job(alice)
    page = render(alice)
    assert f'id="panel-{job.pk}-state"' in page
    assert 'name="csrfmiddlewaretoken"' in page
    assert 'hx-get="/jobs/panel?seen=' in page


def test_it_shows_only_the_users_own_jobs(alice: User, bob: User, charlie: User) -> None:
    job = start_job(alice)
    assert str(job.pk) not in render(bob)
    assert str(job.pk) not in render(charlie)
    assert render(AnonymousUser()).strip() == "<main>Theirs</main>"


def test_a_signed_out_user_is_sent_to_sign_in(client: Client, db: None) -> None:
    answer = client.get("/jobs/panel?seen=", headers={"hx-request": "true"})
    assert answer.headers["HX-Refresh"] == "true"
