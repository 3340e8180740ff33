"""The pages of saved workflows, without JavaScript."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from jobs.models import SavedWorkflow, WorkflowSchedule
from jobs.saved_workflows import change_workflow, save_workflow
from jobs.schedules import create_schedule
from tests.support.html import text
from tests.support.jobs import start_job
from workflows.models import WorkflowExecution

PAYLOAD: dict[str, Any] = {
    "workflowName": "Report",
    "steps": [{"name": "Look", "tool": "DOCUMENT_SEARCH", "arguments": {"query": "prices"}}, {"name": "Write"}],
}


@pytest.fixture
def report(alice: User) -> SavedWorkflow:
    return save_workflow(alice, {"name": "report", "payload": PAYLOAD})


def act(client: Client, workflow: SavedWorkflow, action: str, **fields: str) -> Any:
    return client.post(f"/workflows/{workflow.pk}", {"action": action, **fields})


def test_save_a_job(alice: User, at_alice: Client) -> None:
    job = start_job(alice)
    assert f"/jobs/{job.pk}/save" in text(at_alice.get(f"/jobs/{job.pk}"))
    assert 'value="two-steps"' in text(at_alice.get(f"/jobs/{job.pk}/save"))
    saved = at_alice.post(f"/jobs/{job.pk}/save", {"name": "mine", "isShared": "on"})
    workflow = SavedWorkflow.objects.get()
    assert saved["Location"] == f"/workflows/{workflow.pk}"
    assert (workflow.name, workflow.is_shared, workflow.payload["workflowName"]) == ("mine", True, "Two steps")
    again = at_alice.post(f"/jobs/{job.pk}/save", {"name": "mine"})
    assert again.status_code == 400
    assert "You have a workflow named mine already." in text(again)
    assert "Use 1 to 64 of the characters" in text(at_alice.post(f"/jobs/{job.pk}/save", {"name": "No, not this"}))


def test_list(report: SavedWorkflow, alice: User, at_alice: Client, at_bob: Client, at_charlie: Client) -> None:
    assert "report" in text(at_alice.get("/workflows"))
    for client in (at_bob, at_charlie):
        assert "You have no saved workflows yet" in text(client.get("/workflows"))
    change_workflow(alice, report, {"is_shared": True})
    page = text(at_bob.get("/workflows"))
    assert f'href="/workflows/{report.pk}"' in page
    assert "Delete workflow report" not in page


def test_run_with_one_click(report: SavedWorkflow, at_alice: Client) -> None:
    first, again = (act(at_alice, report, "run", key="k") for _ in range(2))
    job = WorkflowExecution.objects.get()
    assert first["Location"] == again["Location"] == f"/jobs/{job.pk}"
    assert f'<a href="/workflows/{report.pk}">report</a>, version 1' in text(at_alice.get(f"/jobs/{job.pk}"))
    assert f'href="/jobs/{job.pk}"' in text(at_alice.get(f"/workflows/{report.pk}"))


def test_edit_first(report: SavedWorkflow, at_alice: Client, at_bob: Client) -> None:
    page = text(at_alice.get(f"/jobs/new?workflow={report.pk}"))
    assert 'value="Report"' in page
    assert 'value="Look"' in page
    assert "prices" in page
    assert at_bob.get(f"/jobs/new?workflow={report.pk}").status_code == 404
    assert at_alice.get("/jobs/new?workflow=none").status_code == 200


def test_edit_first_what_the_form_has_no_fields_for(alice: User, at_alice: Client) -> None:
    steps = [{"name": f"Step {number}"} for number in range(60)]
    workflow = save_workflow(alice, {"name": "more", "payload": {"workflowName": "More", "steps": steps}})
    page = text(at_alice.get(f"/jobs/new?workflow={workflow.pk}"))
    assert "This request is shown as JSON. The form has at most 50 steps" in page
    assert "&quot;name&quot;: &quot;Step 59&quot;" in page


def test_change_and_versions(report: SavedWorkflow, at_alice: Client) -> None:
    changed = act(at_alice, report, "change", payload='{"workflowName": "New", "steps": [{"name": "One"}]}')
    assert changed["Location"] == f"/workflows/{report.pk}"
    report.refresh_from_db()
    assert (report.version, report.payload["workflowName"]) == (2, "New")
    assert "Run version 1" in text(at_alice.get(f"/workflows/{report.pk}"))
    act(at_alice, report, "run", version="1")
    assert WorkflowExecution.objects.get().workflow_version == 1
    for payload, wrong in (("{", "not valid JSON"), ('{"workflowName": "New", "steps": []}', "payload.steps")):
        response = act(at_alice, report, "change", payload=payload)
        assert response.status_code == 400
        assert wrong in text(response)


def test_share_and_delete(report: SavedWorkflow, alice: User, at_alice: Client, at_bob: Client) -> None:
    act(at_alice, report, "share", shared="1")
    page = text(at_bob.get(f"/workflows/{report.pk}"))
    assert "Delete workflow" not in page
    for action in ("change", "share", "delete"):
        assert act(at_bob, report, action, payload="{}").status_code == 404
    act(at_bob, report, "run")
    assert WorkflowExecution.objects.get().owner.username == "bob"
    assert act(at_alice, report, "delete")["Location"] == "/workflows"
    assert not SavedWorkflow.objects.exists()
    job = WorkflowExecution.objects.get()
    assert at_bob.get(f"/jobs/{job.pk}").status_code == 200


def test_schedule(report: SavedWorkflow, at_alice: Client) -> None:
    fields = {"cron": "0 9 * * mon-fri", "timezone": "Europe/Berlin", "overlap": "queue", "missed": "once"}
    assert act(at_alice, report, "schedule", **fields)["Location"] == f"/workflows/{report.pk}"
    schedule = WorkflowSchedule.objects.get()
    assert (schedule.cron, schedule.timezone, schedule.overlap, schedule.missed) == tuple(fields.values())
    page = text(at_alice.get(f"/workflows/{report.pk}"))
    assert page.count(":00:00</dd>") == 5
    wrong = act(at_alice, report, "schedule", **fields | {"cron": "99 * * * *", "timezone": "Mars"})
    assert wrong.status_code == 400
    assert "This is not a cron expression" in text(wrong)
    assert "There is no time zone Mars" in text(wrong)
    assert WorkflowSchedule.objects.count() == 1


def test_the_buttons_of_a_schedule(report: SavedWorkflow, alice: User, at_alice: Client, at_bob: Client) -> None:
    schedule = create_schedule(alice, report, {"every_seconds": 60})
    path = f"/schedules/{schedule.pk}"
    assert at_bob.post(path, {"action": "delete"}).status_code == 404
    at_alice.post(path, {"action": "pause"})
    schedule.refresh_from_db()
    assert schedule.is_paused
    assert "Resume schedule" in text(at_alice.get(f"/workflows/{report.pk}"))
    at_alice.post(path, {"action": "resume"})
    schedule.refresh_from_db()
    assert not schedule.is_paused
    job, again = (at_alice.post(path, {"action": "run", "key": "k"})["Location"] for _ in range(2))
    assert again == job, "two clicks start one job"
    assert schedule.runs.count() == 1
    assert job in text(at_alice.get(f"/workflows/{report.pk}"))
    at_alice.post(path, {"action": "delete"})
    assert not WorkflowSchedule.objects.exists()
