"""POST /api/jobs/<id>/retry"""

from django.contrib.auth.models import User
from django.test import Client

from tests.support.jobs import claim, complete, complete_all, fail, start_job
from workflows.models import WorkflowExecution


def test_it_works(as_alice: Client, alice: User) -> None:
    execution = start_job(alice)
    complete(claim(execution.pk)[0], "kept")
    fail(claim(execution.pk)[0])
    response = as_alice.post(f"/api/jobs/{execution.pk}/retry")
    assert response.status_code == 202
    job = response.json()
    assert (job["status"], job["error"], job["finishedAt"]) == ("queued", None, None)
    assert [(step["status"], step["output"]) for step in job["steps"]] == [("completed", "kept"), ("ready", None)]
    complete_all(execution)
    step = as_alice.get(f"/api/jobs/{execution.pk}").json()["steps"][1]
    assert (step["status"], step["attempt"]) == ("completed", 2)


def test_others_are_refused(as_bob: Client, alice: User) -> None:
    execution = start_job(alice)
    fail(claim(execution.pk)[0])
    assert as_bob.post(f"/api/jobs/{execution.pk}/retry").status_code == 404
    assert WorkflowExecution.objects.get().status == "failed"


def test_other_states_are_a_conflict(as_alice: Client, alice: User) -> None:
    execution = start_job(alice)
    assert as_alice.post(f"/api/jobs/{execution.pk}/retry").status_code == 409
    complete_all(execution)
    assert as_alice.post(f"/api/jobs/{execution.pk}/retry").status_code == 409
