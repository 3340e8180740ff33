"""`/jobs/`."""

from django.contrib.auth.models import User
from django.test import Client
from pytest_django.asserts import assertNumQueries, assertRedirects

from tests.support.html import is_polling, poll_url, swapped, text
from tests.support.jobs import claim, complete_all, fail, start_job
from workflows import engine
from workflows.engine.pause import pause
from workflows.models import WorkflowStep

LIVE = "job-list-live"


def named(name: str) -> dict[str, object]:
    return {"workflowName": name, "steps": [{"name": "One"}]}


def test_it_works(alice: User, at_alice: Client) -> None:
    done = start_job(alice, payload=named("Done before"))
    complete_all(done)
    start_job(alice, payload=named("Under way"))
    page = text(at_alice.get("/jobs/"))
    assert page.index("Under way", page.index("job-list")) < page.index("Done before")
    assert f'id="job-{done.pk}-state"' in page


def test_anonymous_users_are_sent_to_sign_in(client: Client, db: None) -> None:
    assertRedirects(client.get("/jobs/"), "/login?next=/jobs/")


def test_a_user_sees_nothing_of_another(alice: User, at_bob: Client) -> None:
    start_job(alice, payload=named("Alice's secret"))
    assert "secret" not in text(at_bob.get("/jobs/?owner=all"))


def test_staff_see_their_own_jobs_by_default(alice: User, at_charlie: Client) -> None:
    start_job(alice, payload=named("Alice's job"))
    assert "Alice&#x27;s job" not in text(at_charlie.get("/jobs/"))
    assert "Alice&#x27;s job" in text(at_charlie.get("/jobs/?owner=all"))


def test_filters(alice: User, at_alice: Client) -> None:
    complete_all(start_job(alice, payload=named("Red")))
    engine.cancel(start_job(alice, payload=named("Green")).pk, actor="alice")
    start_job(alice, payload=named("Blue"))

    def shown(query: str) -> list[str]:
        page = text(at_alice.get(f"/jobs/?{query}"))
        listed = page[page.index('id="job-list"') :]
        return [name for name in ("Red", "Green", "Blue") if name in listed]

    assert shown("status=completed") == ["Red"]
    assert shown("status=unfinished") == ["Blue"]
    assert shown("type=workflow") == ["Red", "Green", "Blue"]
    assert shown("type=bulk-documents") == []
    assert shown("q=gre") == ["Green"]
    assert shown("status=nonsense&q=%00") == []


def test_an_unknown_status_is_named(at_alice: Client) -> None:
    page = text(at_alice.get("/jobs/?status=done"))
    assert "There is no status done. There are: unfinished, queued, running, waiting, completed, " in page
    assert "There is no" not in text(at_alice.get("/jobs/?status=failed"))


def test_fifty_a_page(alice: User, at_alice: Client) -> None:
    for number in range(51):
        start_job(alice, payload=named(f"Job {number:02}"))
    first = at_alice.get("/jobs/?type=workflow")
    assert text(first).count('class="job-state"') == 50 + 5  # the compact panel has five
    older = first.context["older"]
    assert "type=workflow" in older
    second = text(at_alice.get(older))
    assert "Job 00" in second
    assert "Job 01" not in second


def test_a_bad_cursor_leads_to_the_first_page(at_alice: Client) -> None:
    assertRedirects(at_alice.get("/jobs/?cursor=nonsense"), "/jobs/")


def test_an_idle_list_does_not_poll(alice: User, at_alice: Client) -> None:
    complete_all(start_job(alice))
    assert not is_polling(at_alice.get("/jobs/"), LIVE)


def test_an_unchanged_poll_swaps_nothing(alice: User, at_alice: Client) -> None:
    start_job(alice)
    page = at_alice.get("/jobs/?status=unfinished")
    assert is_polling(page, LIVE)
    answer = at_alice.get(poll_url(page, LIVE))
    assert answer.status_code == 204
    assert not answer.content


def test_a_poll_brings_only_what_changed(alice: User, at_alice: Client) -> None:
    still, moving = start_job(alice), start_job(alice)
    claim(still.pk)
    (step,) = claim(moving.pk)
    url = poll_url(at_alice.get("/jobs/"), LIVE)
    WorkflowStep.objects.filter(pk=step.step_id).update(message="2.1 kB written", progress=40)
    answer = at_alice.get(url)
    assert swapped(answer) == [f"job-{moving.pk}-state", LIVE]
    assert "One: 2.1 kB written" in text(answer)
    assert 'value="20"' in text(answer)


def test_the_last_finished_job_stops_the_polling(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    url = poll_url(at_alice.get("/jobs/"), LIVE)
    complete_all(job)
    answer = at_alice.get(url)
    assert swapped(answer) == [f"job-{job.pk}-state", f"job-{job.pk}-actions", LIVE]
    assert not is_polling(answer, LIVE)
    assert at_alice.get(poll_url(answer, LIVE)).status_code == 204


def test_a_new_job_appears(alice: User, at_alice: Client) -> None:
    start_job(alice)
    url = poll_url(at_alice.get("/jobs/"), LIVE)
    new = start_job(alice)
    answer = at_alice.get(url)
    assert "job-list" in swapped(answer)
    assert f'id="job-{new.pk}-state"' in text(answer)


def test_as_many_queries_for_many_jobs_as_for_two(alice: User, at_alice: Client) -> None:
    for number in range(20):
        job = start_job(alice, payload=named(f"Job {number}"))
        (step,) = claim(job.pk)
        if number % 3 == 0:
            fail(step)
    url = poll_url(at_alice.get("/jobs/"), LIVE)
    with assertNumQueries(5):  # session, user, jobs, figures, messages
        assert at_alice.get(url).status_code == 204


def test_a_pause_is_shown(alice: User, at_alice: Client) -> None:
    assert "resume" not in at_alice.get("/jobs/").content.decode()
    pause(actor="olga", reason="a deploy")
    assert "paused by olga: a deploy" in at_alice.get("/jobs/").content.decode()
