"""POST /api/jobs/<jobId>/rerun"""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aiworkstation.audit.models import AuditEvent
from tests.support.documents import upload
from tests.support.jobs import claim, complete, complete_all, fail, start_job
from workflows import engine
from workflows.models import WorkflowExecution, WorkflowStep
from workflows.steps import NewExecution, NewStep

USAGE = {"inputTokens": 100, "outputTokens": 10, "costUsd": "0.25"}
PAYLOAD: dict[str, Any] = {
    "workflowName": "Three",
    "steps": [{"name": "One"}, {"name": "Two"}, {"name": "Three"}],
}


def finished(user: User, **changes: Any) -> WorkflowExecution:
    """Each of its three steps has cost a quarter of a dollar."""
    job = start_job(user, **({"payload": PAYLOAD} | changes))
    while claims := claim(job.pk):
        complete(claims[0], {"text": claims[0].name}, model="gpt-4o", usage=USAGE)
    job.refresh_from_db()
    assert job.status == "completed"
    return job


def post(client: Client, job: WorkflowExecution, body: Any = None, query: str = "") -> Any:
    return client.post(f"/api/jobs/{job.pk}/rerun{query}", {} if body is None else body, "application/json")


def statuses(body: dict[str, Any]) -> list[str]:
    return [step["status"] for step in body["steps"]]


def errors(response: Any) -> dict[str, str]:
    assert response.status_code == 400, response.content
    return {error["attr"]: error["code"] for error in response.json()["errors"]}


def test_it_works(as_alice: Client, alice: User) -> None:
    job = finished(alice, priority="high", tags=["t"], projectId="p", maxParallel=3)
    response = post(as_alice, job, {"fromStep": "Three"})
    assert response.status_code == 202
    new = response.json()
    assert new["jobId"] != str(job.pk)
    assert response["Location"] == new["url"] == f"/api/jobs/{new['jobId']}"
    assert new["panelUrl"] == f"/jobs/{new['jobId']}"
    assert new["rerunOf"] == str(job.pk)
    reused = {"steps": 2, "inputTokens": 200, "outputTokens": 20, "costUsd": "0.50"}
    assert new["reused"] == reused
    assert new["usage"] == {"inputTokens": 0, "outputTokens": 0, "costUsd": None}
    assert statuses(new) == ["completed", "completed", "ready"]
    assert new["steps"][1]["output"] == {"text": "Two"}
    assert (new["priority"], new["tags"], new["projectId"], new["payload"]) == ("high", ["t"], "p", PAYLOAD)
    (step,) = claim(new["jobId"])
    complete(step, {"text": "again"}, model="gpt-4o", usage=USAGE)
    done = as_alice.get(new["url"]).json()
    assert (done["status"], done["output"], done["usage"]) == ("completed", {"text": "again"}, USAGE)
    assert as_alice.get(f"/api/jobs/{job.pk}").json()["rerunOf"] is None
    assert WorkflowExecution.objects.get(pk=new["jobId"]).max_parallel == 3
    (listed, *_) = as_alice.get("/api/jobs?status=all").json()["jobs"]
    assert (listed["rerunOf"], listed["reused"]) == (str(job.pk), reused)


def test_without_a_step_everything_runs_again(as_alice: Client, alice: User) -> None:
    job = finished(alice)
    nothing = {"steps": 0, "inputTokens": 0, "outputTokens": 0, "costUsd": None}
    for response in (post(as_alice, job), as_alice.post(f"/api/jobs/{job.pk}/rerun")):
        assert response.status_code == 202
        assert statuses(response.json()) == ["ready", "pending", "pending"]
        assert response.json()["reused"] == nothing


def test_a_dry_run_starts_nothing(as_alice: Client, alice: User) -> None:
    job = finished(alice)
    before = AuditEvent.objects.count()
    response = post(as_alice, job, {"fromStep": 1}, "?dryRun=true")
    assert response.status_code == 200
    assert response.json() == {"reused": {"steps": 1, "inputTokens": 100, "outputTokens": 10, "costUsd": "0.25"}}
    assert (WorkflowExecution.objects.count(), AuditEvent.objects.count()) == (1, before)


@pytest.mark.parametrize("name", ["id", "name", "index"])
def test_a_step_by_its_id_its_name_or_its_index(as_alice: Client, alice: User, name: str) -> None:
    job = finished(alice)
    step = WorkflowStep.objects.get(execution=job, index=1)
    given = {"id": str(step.pk), "name": "Two", "index": 1}[name]
    assert statuses(post(as_alice, job, {"fromStep": given}).json()) == ["completed", "ready", "pending"]


def test_branches_that_do_not_depend_on_the_step_are_kept(as_alice: Client, alice: User) -> None:
    steps: list[dict[str, Any]] = [
        {"name": "a", "dependsOn": []},
        {"name": "b", "dependsOn": []},
        {"name": "c", "dependsOn": ["a"]},
        {"name": "d", "dependsOn": ["b", "c"]},
    ]
    job = finished(alice, payload={"workflowName": "w", "steps": steps})
    new = post(as_alice, job, {"fromStep": "a"}).json()
    assert statuses(new) == ["ready", "completed", "pending", "pending"]
    assert new["reused"]["steps"] == 1


def test_failed_steps_before_the_step_run_again(as_alice: Client, alice: User) -> None:
    job = start_job(alice, payload=PAYLOAD)
    complete(claim(job.pk)[0], "one")
    fail(claim(job.pk)[0])
    new = post(as_alice, job, {"fromStep": "Three"}).json()
    assert statuses(new) == ["completed", "ready", "pending"]


def test_a_rerun_of_a_rerun_counts_what_it_takes_over(as_alice: Client, alice: User) -> None:
    job = finished(alice)
    second = WorkflowExecution.objects.get(pk=post(as_alice, job, {"fromStep": 2}).json()["jobId"])
    complete_all(second, "x")
    assert post(as_alice, second, {"fromStep": 2}).json()["reused"] == {
        "steps": 2,
        "inputTokens": 200,
        "outputTokens": 20,
        "costUsd": "0.50",
    }


class TestAnotherPayload:
    def test_later_steps_may_change(self, as_alice: Client, alice: User) -> None:
        job = finished(alice)
        steps = [*PAYLOAD["steps"][:2], {"name": "Drei", "description": "in German"}, {"name": "Vier"}]
        payload = {"workflowName": "New name", "steps": steps, "modelId": "offline", "tags": ["new"]}
        new = post(as_alice, job, {"fromStep": 2, "payload": payload}).json()
        assert statuses(new) == ["completed", "completed", "ready", "pending"]
        assert (new["name"], new["modelId"], new["tags"]) == ("New name", "offline", ["new"])
        assert new["payload"] == payload

    def test_steps_that_are_taken_over_may_not(self, as_alice: Client, alice: User) -> None:
        job = finished(alice)
        payload = {"workflowName": "w", "steps": [{"name": "One", "description": "new"}, *PAYLOAD["steps"][1:]]}
        assert errors(post(as_alice, job, {"fromStep": 2, "payload": payload})) == {"payload.steps.0": "invalid"}
        assert WorkflowExecution.objects.count() == 1
        assert post(as_alice, job, {"fromStep": 0, "payload": payload}).status_code == 202

    def test_its_project_counts_unless_one_was_sent_beside_the_first(self, as_alice: Client, alice: User) -> None:
        payload = PAYLOAD | {"projectId": "new"}
        without, with_one = finished(alice), finished(alice, projectId="beside")
        assert post(as_alice, without, {"payload": payload}).json()["projectId"] == "new"
        assert post(as_alice, with_one, {"payload": payload}).json()["projectId"] == "beside"
        inside = finished(alice, payload=PAYLOAD | {"projectId": "old"})
        assert post(as_alice, inside, {"payload": payload}).json()["projectId"] == "new"

    def test_it_is_checked_like_any_other(self, as_alice: Client, alice: User) -> None:
        job = finished(alice)
        assert errors(post(as_alice, job, {"payload": {"steps": [{"name": ""}], "x": 1}})) == {
            "payload.workflowName": "required",
            "payload.steps.0.name": "blank",
            "payload.x": "unknown",
        }


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"fromStep": "Four"}, {"fromStep": "unknown"}),
        ({"fromStep": 3}, {"fromStep": "unknown"}),
        ({"fromStep": -1}, {"fromStep": "unknown"}),
        ({"fromStep": True}, {"fromStep": "invalid"}),
        ({"fromStep": ["One"]}, {"fromStep": "invalid"}),
        ({"from": 1}, {"from": "unknown"}),
        ({"payload": []}, {"payload": "invalid"}),
        ({"fromStep": 2, "payload": {"workflowName": "w", "steps": [{"name": "One"}]}}, {"fromStep": "invalid"}),
        ([], {"nonFieldErrors": "invalid"}),
    ],
)
def test_it_refuses(as_alice: Client, alice: User, body: Any, wrong: dict[str, str]) -> None:
    job = finished(alice)
    assert errors(post(as_alice, job, body)) == wrong
    assert errors(post(as_alice, job, {}, "?dryRun=perhaps")) == {"dryRun": "invalid"}


def test_a_name_that_several_steps_have(as_alice: Client, alice: User) -> None:
    job = finished(alice, payload={"workflowName": "w", "steps": [{"name": "x"}, {"name": "x"}]})
    assert errors(post(as_alice, job, {"fromStep": "x"})) == {"fromStep": "invalid"}


def test_a_body_that_is_not_called_json_is_not_ignored(as_alice: Client, alice: User) -> None:
    job = finished(alice)
    url = f"/api/jobs/{job.pk}/rerun"
    assert as_alice.post(url, '{"fromStep": 2}', "application/x-www-form-urlencoded").status_code == 415
    assert as_alice.post(url, {"fromStep": "2"}).status_code == 415
    assert WorkflowExecution.objects.count() == 1


def test_only_finished_jobs(as_alice: Client, alice: User) -> None:
    job = start_job(alice)
    response = post(as_alice, job)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (409, "wrong_state")
    engine.cancel(job.pk, actor="alice")
    assert post(as_alice, job).status_code == 202


def test_a_type_that_nobody_may_start(as_alice: Client, alice: User) -> None:
    new = NewExecution(alice.pk, "document-embed", "Embed", [NewStep("x")])
    job = WorkflowExecution.objects.get(pk=engine.start(new, actor="engine"))
    engine.cancel(job.pk, actor="alice")
    assert post(as_alice, job).status_code == 409


def test_others_are_refused(as_bob: Client, as_charlie: Client, alice: User) -> None:
    job = finished(alice)
    assert post(as_bob, job).status_code == 404
    response = post(as_charlie, job)
    assert (response.status_code, response.json()["owner"]) == (202, "alice")
    assert (
        AuditEvent.objects.filter(action="job.queued", execution_id=response.json()["jobId"]).get().actor == "charlie"
    )


def test_a_job_over_documents(as_alice: Client, alice: User) -> None:
    document = upload(alice)
    payload = {"documents": [{"id": document.client_id}]}
    job = start_job(alice, jobType="bulk-documents", payload=payload)
    engine.cancel(job.pk, actor="alice")
    response = post(as_alice, job)
    assert response.status_code == 202
    document.refresh_from_db()
    assert str(document.step_id) == response.json()["steps"][0]["stepId"]
    assert errors(post(as_alice, job, {"fromStep": 0})) == {"fromStep": "invalid"}
