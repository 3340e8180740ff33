"""Actions on many jobs of the list: first what would happen, then a job that does it."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.asserts import assertRedirects

from tests.support.html import text
from tests.support.jobs import claim, fail, start_job
from workflows.models import WorkflowExecution, WorkflowStep


def jobs_of(user: User) -> tuple[WorkflowExecution, WorkflowExecution]:
    """A failed job and a queued one."""
    failed = start_job(user, tags=["legal"])
    fail(claim(failed.pk)[0])
    return failed, start_job(user, tags=["legal"])


def bulk_job() -> WorkflowExecution:
    return WorkflowExecution.objects.get(job_type="bulk-action")


def test_the_list_offers_it(alice: User, at_alice: Client) -> None:
    assert 'id="bulk"' not in text(at_alice.get("/jobs/"))
    failed, _ = jobs_of(alice)
    page = text(at_alice.get("/jobs/?tag=legal"))
    assert f'form="bulk" name="job" value="{failed.pk}"' in page
    assert '<input type="hidden" name="tag" value="legal">' in page


def test_nothing_is_done_before_it_is_confirmed(alice: User, at_alice: Client) -> None:
    failed, queued = jobs_of(alice)
    asked = {"action": "retry", "job": [str(failed.pk), str(queued.pk)]}
    page = at_alice.post("/jobs/bulk", asked)
    assert "Retry 1 job?" in text(page)
    assert page.context["plan"].states == [("queued", 1, False), ("failed", 1, True)]
    assert "left alone" in text(page)
    assert not WorkflowExecution.objects.filter(job_type="bulk-action").exists()
    response = at_alice.post("/jobs/bulk", {**asked, "confirm": "1"})
    assertRedirects(response, f"/jobs/{bulk_job().pk}")
    assert bulk_job().name == "Retry 2 jobs"


def test_change_the_priority(alice: User, at_alice: Client) -> None:
    failed, queued = jobs_of(alice)
    assert '<option value="high-priority">Give high priority to</option>' in text(at_alice.get("/jobs/"))
    asked = {"action": "high-priority", "job": [str(failed.pk), str(queued.pk)]}
    page = at_alice.post("/jobs/bulk", asked)
    assert "Give high priority to 1 job?" in text(page)
    assert page.context["plan"].states == [("queued", 1, True), ("failed", 1, False)]
    at_alice.post("/jobs/bulk", {**asked, "confirm": "1"})
    (step,) = WorkflowStep.objects.filter(execution=bulk_job())
    arguments = step.arguments or {}
    assert (arguments["action"], arguments["priority"]) == ("priority", "high")
    assert bulk_job().payload["priority"] == "high"


def test_two_clicks_start_one_job(alice: User, at_alice: Client) -> None:
    failed, _ = jobs_of(alice)
    asked = {"action": "rerun", "job": [str(failed.pk)]}
    sent = {**asked, "confirm": "1", "key": str(at_alice.post("/jobs/bulk", asked).context["key"])}
    first, second = (at_alice.post("/jobs/bulk", sent)["Location"] for _ in range(2))
    assert first == second == f"/jobs/{bulk_job().pk}"


def test_all_that_match(alice: User, bob: User, at_alice: Client) -> None:
    failed, _ = jobs_of(alice)
    jobs_of(bob)
    start_job(alice)
    asked = {"action": "rerun", "all": "1", "tag": "legal", "status": "failed"}
    page = at_alice.post("/jobs/bulk", asked)
    assert "1 job matches the filters" in text(page)
    assert page.context["plan"].states == [("failed", 1, True)]
    assert '<input type="hidden" name="tag" value="legal">' in text(page)
    at_alice.post("/jobs/bulk", {**asked, "confirm": "1"})
    assert (bulk_job().steps.get().arguments or {})["jobIds"] == [str(failed.pk)]


def test_all_means_every_state_unless_one_is_chosen(alice: User, at_alice: Client) -> None:
    jobs_of(alice)
    page = at_alice.post("/jobs/bulk", {"action": "cancel", "all": "1"})
    assert page.context["plan"].states == [("queued", 1, True), ("failed", 1, False)]
    page = at_alice.post("/jobs/bulk", {"action": "cancel", "all": "1", "status": "unfinished"})
    assert page.context["plan"].states == [("queued", 1, True)]


def test_nothing_to_do_starts_nothing(alice: User, at_alice: Client) -> None:
    queued = start_job(alice)
    page = at_alice.post("/jobs/bulk", {"action": "delete", "job": str(queued.pk), "confirm": "1"})
    assert "There is nothing to do" in text(page)
    assert WorkflowExecution.objects.count() == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"action": "explode", "all": "1"},
            "There is no action explode. Choose one of: cancel, retry, rerun, high-priority, ",
        ),
        ({"action": "retry"}, "Select a job first."),
        ({"action": "retry", "job": "nonsense"}, "There is no job nonsense."),
        ({"action": "retry", "all": "1", "status": "done"}, "There is no status done."),
        ({"action": "delete", "all": "1", "since": "soon"}, "soon is not a day."),
    ],
)
def test_a_mistake_is_shown_and_starts_nothing(at_alice: Client, asked: dict[str, Any], message: str) -> None:
    assert message in text(at_alice.post("/jobs/bulk", asked, follow=True))
    assert not WorkflowExecution.objects.exists()


def test_other_users_jobs_are_refused(alice: User, at_bob: Client, client: Client) -> None:
    failed, _ = jobs_of(alice)
    asked = {"action": "delete", "job": str(failed.pk), "confirm": "1"}
    assert "There is no job" in text(at_bob.post("/jobs/bulk", asked, follow=True))
    assert client.post("/jobs/bulk", asked).status_code == 302
    matched = at_bob.post("/jobs/bulk", {"action": "delete", "all": "1", "owner": "all"})
    assert matched.context["plan"].total == 0
    assert WorkflowExecution.objects.count() == 2
