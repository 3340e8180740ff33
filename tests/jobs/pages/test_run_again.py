"""Run again, run from a step, retry one step, delete, and copy as curl."""

import json
import re
import shlex

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.asserts import assertRedirects

from tests.support.html import text
from tests.support.jobs import claim, complete, complete_all, fail, start_job
from workflows.models import WorkflowExecution, WorkflowStep

USAGE = {"inputTokens": 812, "outputTokens": 96, "costUsd": "0.0030"}


def finished_after_one_step(user: User) -> WorkflowExecution:
    job = start_job(user)
    complete(claim(job.pk)[0], "first output", model="gpt-4o", usage=USAGE)
    fail(claim(job.pk)[0], "the second broke")
    return job


def newest(job: WorkflowExecution) -> WorkflowExecution:
    return WorkflowExecution.objects.exclude(pk=job.pk).get()


def test_a_finished_job_runs_again_at_once(alice: User, at_alice: Client) -> None:
    job = finished_after_one_step(alice)
    assert f'action="/jobs/{job.pk}/rerun"' in text(at_alice.get(f"/jobs/{job.pk}"))
    response = at_alice.post(f"/jobs/{job.pk}/rerun")
    new = newest(job)
    assertRedirects(response, f"/jobs/{new.pk}")
    assert new.rerun_of == job.pk
    assert new.payload == job.payload
    assert f'href="/jobs/{job.pk}"' in text(at_alice.get(f"/jobs/{new.pk}"))


def key_in(page: str) -> str:
    """The key of the page's last form that has one."""
    return str(re.findall(r'name="key" value="([^"]+)"', page)[-1])


@pytest.mark.parametrize("address", ["/jobs/{id}", "/jobs/{id}/rerun"])
def test_two_clicks_start_one_job(alice: User, at_alice: Client, address: str) -> None:
    job = finished_after_one_step(alice)
    sent = {"key": key_in(text(at_alice.get(address.format(id=job.pk))))}
    first, second = (at_alice.post(f"/jobs/{job.pk}/rerun", sent)["Location"] for _ in range(2))
    assert first == second == f"/jobs/{newest(job).pk}"
    edited = {**sent, "payload": json.dumps({**job.payload, "workflowName": "Edited, after going back"})}
    at_alice.post(f"/jobs/{job.pk}/rerun", edited)
    assert WorkflowExecution.objects.count() == 3
    at_alice.post(f"/jobs/{job.pk}/rerun", {"key": key_in(text(at_alice.get(address.format(id=job.pk))))})
    assert WorkflowExecution.objects.count() == 4, "another page, another job"


def test_an_unfinished_job_is_not_run_again(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    page = text(at_alice.get(f"/jobs/{job.pk}"))
    assert "Run again" not in page
    assert "Delete job" not in page
    response = at_alice.post(f"/jobs/{job.pk}/rerun")
    assert response.status_code == 400
    assert "Only a finished job can be run again." in text(response)
    assert WorkflowExecution.objects.count() == 1


def test_what_a_step_takes_over_is_shown_before_it_starts(alice: User, at_alice: Client) -> None:
    job = finished_after_one_step(alice)
    assert f'href="/jobs/{job.pk}/rerun?from=1"' in text(at_alice.get(f"/jobs/{job.pk}"))
    page = text(at_alice.get(f"/jobs/{job.pk}/rerun?from=1"))
    assert "Takes over 1 step (812 tokens in, 96 out, $0.0030)." in page
    assert '<option value="1" selected>step 2: Two</option>' in page
    assert WorkflowExecution.objects.count() == 1
    at_alice.post(f"/jobs/{job.pk}/rerun", {"from": "1"})
    steps = WorkflowStep.objects.filter(execution=newest(job)).order_by("index")
    assert [(step.status, step.output) for step in steps] == [("completed", "first output"), ("ready", None)]
    assert "takes over 1 step (812" in text(at_alice.get(f"/jobs/{newest(job).pk}"))


def test_the_plan_is_checked_without_starting(alice: User, at_alice: Client) -> None:
    job = finished_after_one_step(alice)
    page = text(at_alice.post(f"/jobs/{job.pk}/rerun", {"from": "", "check": "1"}))
    assert "Takes over nothing" in page
    assert WorkflowExecution.objects.count() == 1


def test_the_payload_is_edited(alice: User, at_alice: Client) -> None:
    job = finished_after_one_step(alice)
    assert "&quot;workflowName&quot;: &quot;Two steps&quot;" in text(at_alice.get(f"/jobs/{job.pk}/rerun"))
    edited = {**job.payload, "workflowName": "Edited"}
    at_alice.post(f"/jobs/{job.pk}/rerun", {"payload": json.dumps(edited)})
    new = newest(job)
    assert (new.name, new.rerun_of) == ("Edited", job.pk)


@pytest.mark.parametrize(
    ("entered", "message"),
    [
        ({"payload": "{"}, "This is not valid JSON"),
        ({"payload": "[]"}, "Enter a JSON object"),
        ({"payload": '{"steps": []}'}, "payload.workflowName"),
        ({"from": "7"}, "There is no 7."),
        ({"from": "x"}, "There is no x."),
    ],
)
def test_a_mistake_is_shown_and_starts_nothing(
    alice: User, at_alice: Client, entered: dict[str, str], message: str
) -> None:
    job = finished_after_one_step(alice)
    response = at_alice.post(f"/jobs/{job.pk}/rerun", entered)
    assert response.status_code == 400
    assert message in text(response)
    assert WorkflowExecution.objects.count() == 1


def test_one_step_is_retried(alice: User, at_alice: Client) -> None:
    job = finished_after_one_step(alice)
    page = text(at_alice.get(f"/jobs/{job.pk}"))
    assert f'action="/jobs/{job.pk}/steps/1/retry"' in page
    assert f'action="/jobs/{job.pk}/steps/0/retry"' not in page, "it completed"
    assertRedirects(at_alice.post(f"/jobs/{job.pk}/steps/1/retry"), f"/jobs/{job.pk}")
    job.refresh_from_db()
    assert job.status == "queued"
    refused = at_alice.post(f"/jobs/{job.pk}/steps/0/retry", follow=True)
    assert "The step cannot be retried" in text(refused)
    assert at_alice.post(f"/jobs/{job.pk}/steps/9/retry").status_code == 404


def test_a_finished_job_is_deleted(alice: User, at_alice: Client) -> None:
    job = finished_after_one_step(alice)
    assert "Delete job permanently" in text(at_alice.get(f"/jobs/{job.pk}"))
    response = at_alice.post(f"/jobs/{job.pk}/delete", follow=True)
    assert "Deleted Two steps." in text(response)
    assert not WorkflowExecution.objects.exists()


def test_an_unfinished_job_is_not_deleted(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    assert "cannot be deleted. Cancel it first." in text(at_alice.post(f"/jobs/{job.pk}/delete", follow=True))
    assert WorkflowExecution.objects.exists()


@pytest.mark.parametrize("address", ["rerun", "delete", "steps/1/retry"])
def test_other_users_are_refused(alice: User, at_bob: Client, client: Client, address: str) -> None:
    job = finished_after_one_step(alice)
    assert at_bob.post(f"/jobs/{job.pk}/{address}").status_code == 404
    assert at_bob.get(f"/jobs/{job.pk}/{address}").status_code in (404, 405)
    assert client.post(f"/jobs/{job.pk}/{address}").status_code == 302
    assert WorkflowExecution.objects.get().status == "failed"


def test_every_attempt_is_shown_with_its_error(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    for message in ("busy for once", "busy again", "gone for good"):
        WorkflowStep.objects.filter(execution=job, index=0).update(ready_at="2020-01-01T00:00:00Z")
        fail(claim(job.pk)[0], message, retryable=True)
    assert "3 attempts</summary>" in text(at_alice.get(f"/jobs/{job.pk}"))
    page = text(at_alice.get(f"/jobs/{job.pk}/steps/0"))
    assert page.index("busy for once") < page.index("busy again") < page.index("gone for good")
    assert page.count("test worker") == 3
    assert "No attempt has begun." in text(at_alice.get(f"/jobs/{job.pk}/steps/1"))


def test_copy_as_curl(alice: User, at_alice: Client) -> None:
    job = start_job(alice, tags=["it's"], priority="high")
    command = at_alice.get(f"/jobs/{job.pk}").context["curl"]
    words = shlex.split(command)
    assert words[:2] == ["curl", "http://testserver/api/jobs"]
    body = json.loads(words[words.index("-d") + 1])
    assert body == {"jobType": "workflow", "payload": job.payload, "priority": "high", "tags": ["it's"]}


def test_a_large_request_is_run_again_unchanged(alice: User, at_alice: Client) -> None:
    payload = {"workflowName": "Large", "steps": [{"name": "One", "description": "x" * 300_000}]}
    job = start_job(alice, payload=payload)
    complete_all(job)
    assert "too large to edit here" in text(at_alice.get(f"/jobs/{job.pk}/rerun"))
    assert f"/api/jobs/{job.pk}/rerun" in at_alice.get(f"/jobs/{job.pk}").context["curl"]
    at_alice.post(f"/jobs/{job.pk}/rerun", {"from": ""})
    assert newest(job).payload == payload
