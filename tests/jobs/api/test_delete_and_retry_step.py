"""DELETE /api/jobs/<jobId>, and POST /api/jobs/<jobId>/steps/<stepId>/retry"""

from uuid import UUID

from django.contrib.auth.models import User
from django.test import Client

from aiworkstation.audit.models import AuditEvent
from tests.support.jobs import claim, complete_all, fail, start_job
from workflows.models import WorkflowExecution, WorkflowStep


def step(job: WorkflowExecution, index: int) -> UUID:
    return WorkflowStep.objects.get(execution=job, index=index).pk


class TestDelete:
    def test_it_works(self, as_alice: Client, alice: User) -> None:
        job = start_job(alice)
        complete_all(job, "done")
        response = as_alice.delete(f"/api/jobs/{job.pk}/")
        assert (response.status_code, response.content) == (204, b"")
        assert as_alice.get(f"/api/jobs/{job.pk}").status_code == 404
        assert as_alice.delete(f"/api/jobs/{job.pk}").status_code == 404
        assert AuditEvent.objects.filter(execution_id=job.pk, action="job.deleted", actor="alice").exists()

    def test_only_finished_jobs(self, as_alice: Client, alice: User) -> None:
        job = start_job(alice)
        response = as_alice.delete(f"/api/jobs/{job.pk}")
        assert (response.status_code, response.json()["errors"][0]["code"]) == (409, "wrong_state")
        assert WorkflowExecution.objects.filter(pk=job.pk).exists()

    def test_others_are_refused(self, as_bob: Client, as_charlie: Client, alice: User) -> None:
        job = start_job(alice)
        complete_all(job, "done")
        assert as_bob.delete(f"/api/jobs/{job.pk}").status_code == 404
        assert as_charlie.delete(f"/api/jobs/{job.pk}").status_code == 204

    def test_a_session_needs_its_csrf_token(self, alice: User) -> None:
        job = start_job(alice)
        complete_all(job, "done")
        client = Client(enforce_csrf_checks=True)
        client.force_login(alice)
        assert client.delete(f"/api/jobs/{job.pk}").status_code == 403


class TestRetryStep:
    def test_it_works(self, as_alice: Client, alice: User) -> None:
        job = start_job(alice)
        fail(claim(job.pk)[0])
        response = as_alice.post(f"/api/jobs/{job.pk}/steps/{step(job, 0)}/retry")
        assert response.status_code == 202
        body = response.json()
        assert (body["jobId"], body["status"]) == (str(job.pk), "queued")
        assert [each["status"] for each in body["steps"]] == ["ready", "pending"]
        again = as_alice.post(f"/api/jobs/{job.pk}/steps/{step(job, 0)}/retry")
        assert (again.status_code, again.json()["errors"][0]["code"]) == (409, "wrong_state")

    def test_a_completed_step(self, as_alice: Client, alice: User) -> None:
        job = start_job(alice)
        complete_all(job, "done")
        assert as_alice.post(f"/api/jobs/{job.pk}/steps/{step(job, 0)}/retry").status_code == 409

    def test_others_are_refused(self, as_bob: Client, as_charlie: Client, alice: User) -> None:
        job = start_job(alice)
        fail(claim(job.pk)[0])
        url = f"/api/jobs/{job.pk}/steps/{step(job, 1)}/retry"
        assert as_bob.post(url).status_code == 404
        assert as_charlie.post(url, {"x": 1}, "application/json").status_code == 400
        assert as_charlie.post(url).status_code == 202
        other = start_job(alice)
        assert as_charlie.post(f"/api/jobs/{other.pk}/steps/{step(job, 1)}/retry").status_code == 404
