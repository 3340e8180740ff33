"""POST /api/jobs/<id>/cancel"""

from django.contrib.auth.models import User
from django.test import Client

from aiworkstation.audit.models import AuditEvent
from tests.support.jobs import start_job
from workflows.models import WorkflowExecution


def test_it_works(as_alice: Client, alice: User) -> None:
    execution = start_job(alice)
    response = as_alice.post(f"/api/jobs/{execution.pk}/cancel")
    assert response.status_code == 202
    job = response.json()
    assert (job["jobId"], job["status"]) == (str(execution.pk), "cancelled")
    assert [step["status"] for step in job["steps"]] == ["cancelled", "cancelled"]
    event = AuditEvent.objects.get(action="job.cancelled")
    assert (event.actor, event.object) == ("alice", f"job:{execution.pk}")


def test_others_are_refused(as_bob: Client, as_charlie: Client, alice: User) -> None:
    execution = start_job(alice)
    address = f"/api/jobs/{execution.pk}/cancel"
    assert as_bob.post(address).status_code == 404
    assert WorkflowExecution.objects.get().status == "queued"
    assert as_charlie.post(address).status_code == 202
    assert AuditEvent.objects.get(action="job.cancelled").actor == "charlie"


def test_a_finished_job_is_a_conflict(as_alice: Client, alice: User) -> None:
    execution = start_job(alice)
    address = f"/api/jobs/{execution.pk}/cancel/"
    as_alice.post(address)
    response = as_alice.post(address)
    assert response.status_code == 409
    assert response.json()["errors"][0]["code"] == "wrong_state"
    refused = AuditEvent.objects.get(action="request.refused")
    assert refused.changes["status"] == 409


def test_a_body_with_anything_in_it_is_refused(as_alice: Client, alice: User) -> None:
    execution = start_job(alice)
    address = f"/api/jobs/{execution.pk}/cancel"
    response = as_alice.post(address, {"force": True}, content_type="application/json")
    assert response.status_code == 400
    assert as_alice.post(address, {}, content_type="application/json").status_code == 202


def test_only_post(as_alice: Client, alice: User) -> None:
    response = as_alice.get(f"/api/jobs/{start_job(alice).pk}/cancel")
    assert response.status_code == 405
    assert response.json()["errors"][0]["code"] == "method_not_allowed"
