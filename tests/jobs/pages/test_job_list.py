"""`/jobs/`."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.asserts import assertNumQueries, assertRedirects

from jobs.pages import job_filter, job_list
from tests.support.html import is_polling, poll_url, swapped, text
from tests.support.jobs import claim, complete, complete_all, fail, start_job
from workflows import engine
from workflows.engine.pause import pause
from workflows.models import WorkflowExecution, WorkflowStep

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


def test_filters_by_labels_and_days(alice: User, at_alice: Client) -> None:
    red = start_job(alice, payload=named("Red") | {"mode": "Sales"}, tags=["legal"], projectId="p-1")
    start_job(alice, payload=named("Blue"))
    WorkflowExecution.objects.filter(pk=red.pk).update(created_at="2026-01-31T23:59:59Z")

    def shown(query: str) -> list[str]:
        return [job.name for job in at_alice.get(f"/jobs/?{query}").context["jobs"]]

    for query in ("mode=Sales", "project=p-1", "tag=legal", "until=2026-01-31", "since=2026-01-31&until=2026-01-31"):
        assert shown(query) == ["Red"], query
    assert shown("since=2026-02-01") == ["Blue"]
    assert shown("until=2026-01-30") == []
    assert shown("since=0001-01-01&until=9999-12-31") == ["Blue", "Red"]
    assert "soon is not a day. Enter one such as 2026-01-31." in text(at_alice.get("/jobs/?since=soon"))
    page = text(at_alice.get("/jobs/?tag=legal&since=2026-01-01"))
    assert '<input type="date" name="since" value="2026-01-01">' in page
    assert 'href="/jobs/?status=unfinished&amp;tag=legal&amp;since=2026-01-01"' in page


def tabs(client: Client, query: str = "") -> dict[str, str]:
    return {tab.label: tab.count for tab in client.get(f"/jobs/?{query}").context["filter"].tabs()}


def test_tabs_count_what_matches(alice: User, bob: User, at_alice: Client) -> None:
    fail(claim(start_job(alice, tags=["legal"]).pk)[0])
    start_job(alice)
    start_job(bob)
    assert tabs(at_alice) == {"all": "2", "unfinished": "1", "queued": "1", "failed": "1"}
    assert tabs(at_alice, "tag=legal") == {"all": "1", "unfinished": "0", "failed": "1"}
    assert tabs(at_alice, "status=cancelled") == {
        "all": "2",
        "unfinished": "1",
        "queued": "1",
        "failed": "1",
        "cancelled": "0",
    }


def test_tabs_count_so_many_jobs_at_most(alice: User, at_alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        start_job(alice)
    monkeypatch.setattr(job_filter, "COUNTED", 3)
    assert tabs(at_alice) == {"all": "3+", "unfinished": "3+", "queued": "3+"}


def test_a_change_of_state_brings_the_tabs(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    url = poll_url(at_alice.get("/jobs/"), LIVE)
    claim(job.pk)
    assert "job-tabs" in swapped(at_alice.get(url))


def test_a_row_shows_the_current_step(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    complete(claim(job.pk)[0])
    fail(claim(job.pk)[0], "busy", retryable=True)
    assert "2 of 2 · Two" in text(at_alice.get("/jobs/"))
    WorkflowStep.objects.filter(execution=job, index=1).update(ready_at="2020-01-01T00:00:00Z")
    claim(job.pk)
    page = text(at_alice.get("/jobs/"))
    assert "2 of 2 · Two · attempt 2" in page
    assert "· by alice" in page
    assert 'data-since="' in page


def test_empty_lists_say_what_to_do_next(alice: User, at_alice: Client) -> None:
    assert "You have no jobs yet." in text(at_alice.get("/jobs/"))
    assert "No job failed." in text(at_alice.get("/jobs/?status=failed"))
    assert "Nothing is queued, running or waiting." in text(at_alice.get("/jobs/?status=unfinished"))
    assert "No job matches these filters." in text(at_alice.get("/jobs/?status=failed&q=x"))


def test_an_unknown_status_is_named(at_alice: Client) -> None:
    page = text(at_alice.get("/jobs/?status=done"))
    assert "There is no status done. Choose one of: unfinished, queued, running, waiting, completed, " in page
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


def test_an_idle_list_polls_slowly(alice: User, at_alice: Client) -> None:
    complete_all(start_job(alice))
    page = at_alice.get("/jobs/")
    assert not is_polling(page, LIVE)
    assert 'hx-trigger="every 10s, ' in text(page)


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
    assert "1 of 2 · One" in text(answer)
    assert "2.1 kB written" in text(answer)
    assert 'value="20"' in text(answer)


def test_the_last_finished_job_stops_the_polling(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    url = poll_url(at_alice.get("/jobs/"), LIVE)
    complete_all(job)
    answer = at_alice.get(url)
    assert swapped(answer) == ["job-tabs", f"job-{job.pk}-state", f"job-{job.pk}-actions", LIVE]
    assert not is_polling(answer, LIVE)
    assert at_alice.get(poll_url(answer, LIVE)).status_code == 204


def test_a_new_job_appears(alice: User, at_alice: Client) -> None:
    start_job(alice)
    url = poll_url(at_alice.get("/jobs/"), LIVE)
    new = start_job(alice)
    answer = at_alice.get(url)
    assert swapped(answer) == ["job-tabs", "new-jobs", LIVE], "no row is pushed away"
    assert ">1 new job</a>" in text(answer)
    start_job(alice)
    assert ">2 new jobs</a>" in text(again := at_alice.get(poll_url(answer, LIVE)))
    assert at_alice.get(poll_url(again, LIVE)).status_code == 204
    assert f'id="job-{new.pk}-state"' in text(at_alice.get("/jobs/"))
    complete_all(new)
    assert at_alice.get(poll_url(again, LIVE)).status_code == 204, "it is not shown yet"


def test_new_jobs_that_do_not_match_are_not_counted(alice: User, bob: User, at_alice: Client) -> None:
    start_job(alice, tags=["legal"])
    url = poll_url(at_alice.get("/jobs/?tag=legal"), LIVE)
    start_job(alice)
    start_job(bob, tags=["legal"])
    assert at_alice.get(url).status_code == 204


def test_an_empty_list_shows_new_jobs_at_once(alice: User, at_alice: Client) -> None:
    page = at_alice.get("/jobs/")
    new = start_job(alice)
    answer = at_alice.get(poll_url(page, LIVE))
    assert f'id="job-{new.pk}-state"' in text(answer)
    assert "new job" not in text(answer).replace("new-job", "")


def test_many_new_jobs(alice: User, at_alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    start_job(alice)
    url = poll_url(at_alice.get("/jobs/"), LIVE)
    for module in (job_filter, job_list):
        monkeypatch.setattr(module, "NEW_COUNTED", 1)
    for _ in range(3):
        start_job(alice)
    assert ">1+ new jobs</a>" in text(at_alice.get(url))


@pytest.mark.parametrize("newest", ["", "x", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00", "9999-12-31T23:59:59Z"])
def test_an_odd_time_of_the_newest_job(alice: User, at_alice: Client, newest: str) -> None:
    start_job(alice)
    assert at_alice.get("/jobs/", {"seen": "", "newest": newest}).status_code == 200


def test_an_older_page_has_no_new_jobs(alice: User, at_alice: Client) -> None:
    for number in range(51):
        start_job(alice, payload=named(f"Job {number}"))
    older = at_alice.get(at_alice.get("/jobs/").context["older"])
    start_job(alice)
    assert at_alice.get(poll_url(older, LIVE)).status_code == 204


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
