"""`/jobs/<id>` and the pages below it."""

from collections import Counter

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.asserts import assertNumQueries

from jobs.pages import rendered_output
from tests.support.html import is_polling, poll_url, swapped, text
from tests.support.jobs import claim, complete, complete_all, fail, start_job
from workflows import engine
from workflows.models import WorkflowStep
from workflows.steps import NewExecution, NewStep

LIVE = "job-live"


def test_it_works(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    (step,) = claim(job.pk)
    complete(step, {"text": "**Bold** claim", "finishReason": "stop"}, model="offline")
    page = text(at_alice.get(f"/jobs/{job.pk}"))
    assert 'id="step-0-state"' in page
    assert 'id="step-1-state"' in page
    assert "the built-in <code>offline</code> model" in page
    assert f'hx-get="/jobs/{job.pk}/steps/0"' in page
    assert "job.queued" in page
    assert "step.completed" in page
    assert "50 %" in page
    assert "Bold" not in page, "outputs are fetched when they are opened"


@pytest.mark.parametrize("below", ["", "/events", "/steps/0"])
def test_other_users_are_refused(alice: User, at_bob: Client, at_charlie: Client, below: str) -> None:
    job = start_job(alice)
    assert at_bob.get(f"/jobs/{job.pk}{below}").status_code == 404
    assert at_charlie.get(f"/jobs/{job.pk}{below}").status_code == 200


def test_not_found(at_alice: Client) -> None:
    assert at_alice.get("/jobs/01a20ea5-e026-7bca-8c28-2d1053fbd48e").status_code == 404
    assert at_alice.get("/jobs/nonsense").status_code == 404


def test_a_result_is_rendered_by_its_kind(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    output = {
        "text": "# Report\n\n<script>alert(1)</script> [x](javascript:a) ![p](http://e/p.png)",
        "finishReason": "stop",
    }
    complete_all(job, output | {"model": "offline"})
    page = text(at_alice.get(f"/jobs/{job.pk}"))
    assert "<h1>Report</h1>" in page
    assert rendered_output.OFFLINE_NOTICE in page
    assert "<script>alert" not in page
    assert 'href="javascript' not in page
    assert "<img" not in page[page.index("job-result") :]


def test_an_output(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    (step,) = claim(job.pk)
    complete(step, {"contacts": [{"id": "7", "properties": {"email": "ada@example.com"}}], "total": 1})
    page = text(at_alice.get(f"/jobs/{job.pk}/steps/0"))
    assert '<th scope="col">email</th>' in page
    assert "<td>ada@example.com</td>" in page
    assert at_alice.get(f"/jobs/{job.pk}/steps/9").status_code == 404


def test_links_to_the_document_that_a_step_works_on(alice: User, at_alice: Client) -> None:
    ids = ["doc1", "{{secret.DOCUMENT}}", "a/b", "", 7, None]
    steps = [NewStep("Read", tool="DOCUMENT_READ", arguments={"documentId": id}) for id in ids]
    job = engine.start(NewExecution(alice.pk, "workflow", "Reads", steps), actor="alice")
    page = text(at_alice.get(f"/jobs/{job}"))
    assert 'href="/documents/doc1"' in page
    assert page.count("Open document") == 1


def test_errors_and_attempts(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    fail(claim(job.pk)[0], "the other side hung up", retryable=True)
    page = text(at_alice.get(f"/jobs/{job.pk}"))
    assert "the other side hung up" in page
    assert "attempt 1 of 3" in page
    assert "Next attempt:" in page
    assert "is retried at <time" in page


def test_the_details_of_a_step_follow_its_status(alice: User, at_alice: Client) -> None:
    """An error is a warning while the step waits for its next attempt. The same error is red once the step failed."""
    job = start_job(alice)
    fail(claim(job.pk)[0], "the other side hung up", retryable=True)
    page = at_alice.get(f"/jobs/{job.pk}")
    assert 'class="notice warning"' in text(page)
    WorkflowStep.objects.filter(execution=job, index=0).update(status="failed", ready_at=None)
    answer = at_alice.get(poll_url(page, LIVE))
    assert "step-0-details" in swapped(answer)
    assert 'class="notice error"' in text(answer)


def test_polls(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    (step,) = claim(job.pk)
    page = at_alice.get(f"/jobs/{job.pk}")
    url = poll_url(page, LIVE)
    assert is_polling(page, LIVE)
    assert at_alice.get(url).status_code == 204
    WorkflowStep.objects.filter(pk=step.step_id).update(message="2.1 kB written")
    answer = at_alice.get(url)
    assert swapped(answer) == [f"job-{job.pk}-state", "step-0-state", LIVE]
    complete(step, "done")
    answer = at_alice.get(poll_url(answer, LIVE))
    assert {"step-0-state", "step-0-details", "step-1-state", "job-events"} <= set(swapped(answer))
    assert "job-steps" not in swapped(answer)


def test_a_finished_job_stops_the_polling_and_shows_its_result(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    url = poll_url(at_alice.get(f"/jobs/{job.pk}"), LIVE)
    complete_all(job, "All is well.")
    answer = at_alice.get(url)
    assert not is_polling(answer, LIVE)
    assert "All is well." in text(answer)
    assert "job-result" in swapped(answer)


def test_a_poll_is_few_queries(alice: User, at_alice: Client) -> None:
    job = engine.start(
        NewExecution(alice.pk, "workflow", "Wide", [NewStep(f"s{n}") for n in range(80)], max_parallel=60), actor="a"
    )
    claim(job, 60)
    url = poll_url(at_alice.get(f"/jobs/{job}"), LIVE)
    with assertNumQueries(7):  # session, user, job, figures, message, steps, arguments
        assert at_alice.get(url).status_code == 204


def test_a_page_reads_everything_once(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    complete_all(job, "All is well.")
    with CaptureQueriesContext(connection) as queries:
        page = text(at_alice.get(f"/jobs/{job.pk}"))
    assert "All is well." in page
    read = Counter(query["sql"] for query in queries)
    assert [sql for sql, times in read.items() if times > 1] == []


def test_a_large_job(alice: User, at_alice: Client) -> None:
    steps = [NewStep(f"part {n}") for n in range(250)]
    job = engine.start(NewExecution(alice.pk, "workflow", "Large", steps), actor="alice")
    WorkflowStep.objects.filter(execution=job, index__in=[3, 240]).update(status="failed")
    first = at_alice.get(f"/jobs/{job}")
    assert text(first).count('-state" class="step-state"') == 100
    second = at_alice.get(f"/jobs/{job}{first.context['steps'].next_url.removeprefix(f'/jobs/{job}')}")
    assert 'id="step-100-state"' in text(second)
    failed = at_alice.get(f"/jobs/{job}?state=failed")
    assert [row.index for row in failed.context["steps"].steps] == [3, 240]
    assert at_alice.get(poll_url(failed, LIVE)).status_code == 204
    assert at_alice.get(f"/jobs/{job}?state=nonsense&after=x").status_code == 200


def test_events(alice: User, at_alice: Client) -> None:
    steps = [NewStep(f"part {n}") for n in range(120)]
    job = engine.start(NewExecution(alice.pk, "workflow", "Long", steps), actor="alice")
    engine.cancel(job, actor="alice")
    first = at_alice.get(f"/jobs/{job}/events")
    assert "job.cancelled" in text(first)
    assert "part 119" in text(first)
    earlier = first.context["events"].earlier
    assert "job.queued" in text(at_alice.get(f"/jobs/{job}/events?before={earlier}"))


def test_only_changes_of_state_are_announced(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    (step,) = claim(job.pk)
    page = at_alice.get(f"/jobs/{job.pk}")
    assert "aria-live" not in text(page)
    assert '<p id="job-news" class="hidden" role="status">Two steps: running</p>' in text(page)
    WorkflowStep.objects.filter(pk=step.step_id).update(message="2.1 kB written")
    answer = at_alice.get(poll_url(page, LIVE))
    assert "job-news" not in text(answer)
    complete(step)
    complete_all(job)
    answer = at_alice.get(poll_url(answer, LIVE))
    assert '<p id="job-news" class="hidden" role="status" hx-swap-oob="innerHTML">Two steps: completed</p>' in text(
        answer
    )
