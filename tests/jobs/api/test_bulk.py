"""POST /api/jobs/bulk"""

import asyncio
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aiworkstation.audit.models import AuditEvent
from jobs import bulk_actions
from tests.support.jobs import claim, complete_all, fail, start_job
from tests.support.runner import work
from workflows import engine
from workflows.models import WorkflowExecution
from workflows.worker.runner import Runner

in_transactions = pytest.mark.django_db(transaction=True)


def post(client: Client, **body: Any) -> Any:
    return client.post("/api/jobs/bulk", body, "application/json")


def delayed(user: User, **changes: Any) -> WorkflowExecution:
    """A job that no runner takes during a test."""
    return start_job(user, delaySeconds=3600, **changes)


def cancelled(user: User) -> WorkflowExecution:
    job = delayed(user)
    engine.cancel(job.pk, actor="alice")
    return job


def done(client: Client, **body: Any) -> dict[str, Any]:
    """Runs the bulk action, and returns its job."""
    response = post(client, **body)
    assert response.status_code == 202, response.content
    work(WorkflowExecution.objects.get(pk=response.json()["jobId"]))
    job: dict[str, Any] = client.get(response["Location"]).json()
    return job


def statuses(*jobs: WorkflowExecution) -> list[str]:
    for job in jobs:
        job.refresh_from_db()
    return [job.status for job in jobs]


@in_transactions
def test_it_works(as_alice: Client, alice: User) -> None:
    jobs = [delayed(alice) for _ in range(3)]
    over = cancelled(alice)
    job = done(as_alice, action="cancel", jobIds=[str(each.pk) for each in (*jobs, over)])
    assert (job["jobType"], job["name"], job["status"]) == ("bulk-action", "Cancel 4 jobs", "completed")
    assert job["output"] == {"done": 3, "skipped": 1, "failed": 0}
    assert statuses(*jobs) == ["cancelled"] * 3
    act = AuditEvent.objects.get(action="job.bulk_requested")
    assert (act.actor, act.object) == ("alice", f"job:{job['jobId']}")
    assert act.changes == {"action": "cancel", "matches": 4, "byStatus": {"waiting": 3, "cancelled": 1}}
    each = AuditEvent.objects.filter(action="job.bulk_action", actor="alice")
    assert {event.execution_id for event in each} == {job.pk for job in jobs}
    assert all(event.changes == {"action": "cancel", "bulkJob": job["jobId"]} for event in each)


@in_transactions
def test_every_action(as_alice: Client, alice: User) -> None:
    first, second = cancelled(alice), cancelled(alice)
    open_job = delayed(alice)
    ids = [str(job.pk) for job in (first, second, open_job)]
    all_but_one = {"done": 2, "skipped": 1, "failed": 0}
    assert done(as_alice, action="rerun", jobIds=ids)["output"] == all_but_one
    again = WorkflowExecution.objects.filter(rerun_of__in=[first.pk, second.pk])
    assert again.count() == 2
    engine.cancel(open_job.pk, actor="alice")
    assert done(as_alice, action="delete", jobIds=ids)["output"]["done"] == 3
    assert not WorkflowExecution.objects.filter(pk__in=ids).exists()
    job = delayed(alice)
    assert done(as_alice, action="priority", priority="high", jobIds=[str(job.pk)])["output"]["done"] == 1
    job.refresh_from_db()
    assert job.queue == "high"


@in_transactions
def test_retry(as_alice: Client, alice: User) -> None:
    job = start_job(alice, payload={"workflowName": "w", "steps": [{"name": "One"}]})
    fail(claim(job.pk)[0])
    assert done(as_alice, action="retry", filter={"status": "failed"})["output"]["done"] == 1
    assert AuditEvent.objects.filter(execution_id=job.pk, action="job.retried", actor="alice").exists()


@in_transactions
def test_slices(as_alice: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_actions, "SLICE", 2)
    for _ in range(5):
        delayed(alice)
    job = done(as_alice, action="cancel", filter={})
    assert [step["name"] for step in job["steps"]] == ["Jobs 1 to 2", "Jobs 3 to 4", "Jobs 5 to 5"]
    assert [step["output"]["done"] for step in job["steps"]] == [2, 4, 5]
    assert job["output"] == {"done": 5, "skipped": 0, "failed": 0}


@in_transactions
def test_a_slice_that_runs_again_repeats_nothing(as_alice: Client, alice: User) -> None:
    jobs = [cancelled(alice) for _ in range(3)]
    response = post(as_alice, action="rerun", jobIds=[str(job.pk) for job in jobs])
    bulk = WorkflowExecution.objects.get(pk=response.json()["jobId"])
    work(bulk)
    # As if the worker had died before it recorded the outcome.
    bulk.steps.update(status="failed", output=None, error={"code": "x", "message": "", "retryable": False})
    WorkflowExecution.objects.filter(pk=bulk.pk).update(status="failed", steps_failed=1, steps_completed=0)
    assert engine.retry(bulk.pk, actor="alice")
    work(bulk)
    assert bulk.steps.get().output == {"done": 3, "skipped": 0, "failed": 0}
    assert WorkflowExecution.objects.filter(rerun_of__isnull=False).count() == 3


@in_transactions
def test_it_can_be_stopped(as_alice: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_actions, "SLICE", 1)
    jobs = [delayed(alice) for _ in range(30)]
    bulk = WorkflowExecution.objects.get(pk=post(as_alice, action="cancel", filter={}).json()["jobId"])

    async def stop(runner: Runner) -> None:
        while not await asyncio.to_thread(AuditEvent.objects.filter(action="job.bulk_action").exists):
            await asyncio.sleep(0.01)
        await asyncio.to_thread(engine.cancel, bulk.pk, actor="alice")

    work(bulk, during=stop)
    assert bulk.status == "cancelled"
    assert 0 < statuses(*jobs).count("cancelled") < 30


@in_transactions
def test_a_job_that_cannot_be_run_again_is_counted(as_alice: Client, alice: User) -> None:
    job = cancelled(alice)
    WorkflowExecution.objects.filter(pk=job.pk).update(payload={"workflowName": ""})
    assert done(as_alice, action="rerun", jobIds=[str(job.pk)])["output"] == {"done": 0, "skipped": 0, "failed": 1}


@in_transactions
def test_no_matches(as_alice: Client) -> None:
    assert done(as_alice, action="delete", filter={"q": "nothing"})["output"] == {"done": 0, "skipped": 0, "failed": 0}


@in_transactions
def test_permissions_are_checked_again_for_each_job(as_charlie: Client, alice: User, charlie: User) -> None:
    job = delayed(alice)
    response = post(as_charlie, action="cancel", jobIds=[str(job.pk)])
    User.objects.filter(pk=charlie.pk).update(is_staff=False)
    bulk = WorkflowExecution.objects.get(pk=response.json()["jobId"])
    work(bulk)
    assert bulk.steps.get().output == {"done": 0, "skipped": 1, "failed": 0}
    assert statuses(job) == ["waiting"]


class TestSelection:
    def matches(self, client: Client, **body: Any) -> dict[str, Any]:
        before = AuditEvent.objects.count(), WorkflowExecution.objects.count()
        response = post(client, action="cancel", dryRun=True, **body)
        assert response.status_code == 200, response.content
        assert (AuditEvent.objects.count(), WorkflowExecution.objects.count()) == before, "a dry run does nothing"
        found: dict[str, Any] = response.json()
        return found

    def test_filters(self, as_alice: Client, alice: User) -> None:
        delayed(alice, tags=["x"], projectId="p")
        start_job(alice)
        cancelled(alice)
        complete_all(start_job(alice))
        assert self.matches(as_alice, filter={}) == {"matches": 2, "byStatus": {"waiting": 1, "queued": 1}}
        counts = {"waiting": 1, "queued": 1, "cancelled": 1, "completed": 1}
        assert self.matches(as_alice, filter={"status": "all"}) == {"matches": 4, "byStatus": counts}
        assert self.matches(as_alice, filter={"status": ["cancelled", "completed"]})["matches"] == 2
        assert self.matches(as_alice, filter={"tag": "x", "projectId": "p", "type": "workflow"})["matches"] == 1
        assert self.matches(as_alice, filter={"q": "two"})["matches"] == 2

    def test_other_users_jobs(self, as_bob: Client, as_charlie: Client, alice: User, bob: User) -> None:
        hers, his = delayed(alice), delayed(bob)
        for filter in ({}, {"owner": "all"}):
            assert self.matches(as_bob, filter=filter)["matches"] == 1
        assert self.matches(as_bob, filter={"owner": "alice"})["matches"] == 0
        assert self.matches(as_charlie, filter={})["matches"] == 0
        assert self.matches(as_charlie, filter={"owner": "all"})["matches"] == 2
        ids = [str(hers.pk), str(his.pk), str(hers.pk)]
        assert self.matches(as_charlie, jobIds=ids)["matches"] == 2
        response = post(as_bob, action="cancel", jobIds=ids)
        assert response.status_code == 400
        assert [error["attr"] for error in response.json()["errors"]] == ["jobIds.0", "jobIds.2"]
        assert statuses(hers, his) == ["waiting", "waiting"]

    def test_too_many(self, as_alice: Client, alice: User) -> None:
        delayed(alice)
        delayed(alice)
        with patch.object(bulk_actions, "MAX_JOBS", 1):
            response = post(as_alice, action="cancel", filter={})
        assert response.json()["errors"][0]["attr"] == "filter"


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"action": "required", "jobIds": "required"}),
        ({"action": "stop", "filter": {}}, {"action": "invalid_choice"}),
        ({"action": "cancel"}, {"jobIds": "required"}),
        ({"action": "cancel", "filter": {}, "jobIds": ["x"]}, {"jobIds": "required"}),
        ({"action": "cancel", "jobIds": []}, {"jobIds": "min_length"}),
        ({"action": "cancel", "jobIds": ["x", str(uuid4())]}, {"jobIds.0": "unknown", "jobIds.1": "unknown"}),
        ({"action": "cancel", "jobIds": [1]}, {"jobIds.0": "invalid"}),
        ({"action": "cancel", "filter": {"limit": 1}}, {"filter.limit": "unknown"}),
        ({"action": "cancel", "filter": {"status": "done"}}, {"filter.status.0": "invalid_choice"}),
        ({"action": "cancel", "filter": {"q": "x" * 1001}}, {"filter.q": "max_length"}),
        ({"action": "cancel", "filter": []}, {"filter": "invalid"}),
        ({"action": "priority", "filter": {}}, {"priority": "required"}),
        ({"action": "priority", "filter": {}, "priority": "urgent"}, {"priority": "invalid_choice"}),
        ({"action": "cancel", "filter": {}, "priority": "high"}, {"priority": "invalid"}),
        ({"action": "cancel", "filter": {}, "dryRun": "x"}, {"dryRun": "invalid"}),
        ({"action": "cancel", "filter": {}, "x": 1}, {"x": "unknown"}),
    ],
)
def test_it_refuses(as_alice: Client, body: dict[str, Any], wrong: dict[str, str]) -> None:
    response = post(as_alice, **body)
    assert response.status_code == 400
    assert {error["attr"]: error["code"] for error in response.json()["errors"]} == wrong
    assert not WorkflowExecution.objects.exists()


def test_the_tool_is_not_for_workflows(as_alice: Client) -> None:
    step = {"name": "x", "tool": "JOBS_BULK_ACTION", "arguments": {"action": "delete", "jobIds": []}}
    body = {"jobType": "workflow", "payload": {"workflowName": "w", "steps": [step]}}
    response = as_alice.post("/api/jobs", body, "application/json")
    assert response.json()["errors"][0]["attr"] == "payload.steps.0.tool"
    assert as_alice.post("/api/jobs", body | {"jobType": "bulk-action"}, "application/json").status_code == 400
    assert "JOBS_BULK_ACTION" not in str(as_alice.get("/api/tools").json())


def test_no_credentials(client: Client, db: None) -> None:
    assert post(client, action="cancel", filter={}).status_code == 401
