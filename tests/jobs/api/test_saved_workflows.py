"""/api/workflows: saved workflows"""

from threading import Thread
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from aiworkstation.audit.models import AuditEvent
from jobs.models import SavedWorkflow, WorkflowVersion
from tests.support.jobs import complete_all
from tests.support.users import client_of
from workflows.models import Mode, WorkflowExecution

PAYLOAD: dict[str, Any] = {"workflowName": "Report", "steps": [{"name": "One"}, {"name": "Two"}]}
OTHER = PAYLOAD | {"workflowName": "Other report"}


def save(client: Client, name: str = "report", **changes: Any) -> dict[str, Any]:
    response = client.post("/api/workflows", {"name": name, "payload": PAYLOAD} | changes, "application/json")
    assert response.status_code == 201, response.content
    return dict(response.json())


def post(client: Client, path: str, body: Any, **headers: str) -> Any:
    return client.post(path, body, "application/json", headers=headers)


def put(client: Client, body: Any, path: str = "/api/workflows/report", **headers: str) -> Any:
    return client.put(path, body, "application/json", headers=headers)


def run(client: Client, path: str = "/api/workflows/report/runs", body: Any = None, **headers: str) -> Any:
    return post(client, path, {} if body is None else body, **headers)


def errors(response: Any) -> dict[str | None, str]:
    return {error["attr"]: error["code"] for error in response.json()["errors"]}


def test_it_works(as_alice: Client) -> None:
    response = post(as_alice, "/api/workflows", {"name": "report", "payload": PAYLOAD})
    assert (response.status_code, response["Location"]) == (201, "/api/workflows/report")
    saved = response.json()
    assert (saved["name"], saved["version"], saved["isShared"], saved["owner"]) == ("report", 1, False, "alice")
    assert saved["payload"] == PAYLOAD
    assert saved["createdAt"].endswith("Z")
    read = as_alice.get("/api/workflows/report")
    assert (read.json(), read["ETag"]) == (saved, response["ETag"])
    assert as_alice.get("/api/workflows").json() == {"workflows": [saved], "nextCursor": None}
    started = run(as_alice)
    assert started.status_code == 202
    assert started["Location"] == started.json()["url"]
    job = as_alice.get(started["Location"]).json()
    assert (job["workflow"], job["workflowVersion"], job["name"]) == ("report", 1, "Report")
    assert job["payload"] == PAYLOAD
    assert [step["name"] for step in job["steps"]] == ["One", "Two"]


def test_other_jobs_have_no_workflow(as_alice: Client) -> None:
    started = post(as_alice, "/api/jobs", {"jobType": "workflow", "payload": PAYLOAD}).json()
    job = as_alice.get(started["url"]).json()
    assert (job["workflow"], job["workflowVersion"]) == (None, None)
    (listed,) = as_alice.get("/api/jobs").json()["jobs"]
    assert (listed["workflow"], listed["workflowVersion"]) == (None, None)


def test_a_payload_makes_a_new_version(as_alice: Client) -> None:
    first = save(as_alice)
    response = put(as_alice, {"payload": OTHER})
    assert response.status_code == 200
    assert (response.json()["version"], response.json()["payload"]) == (2, OTHER)
    assert response.json()["updatedAt"] > first["updatedAt"]
    assert response.json()["createdAt"] == first["createdAt"]
    versions = as_alice.get("/api/workflows/report/versions").json()
    assert [(each["version"], each["payload"]["workflowName"]) for each in versions["versions"]] == [
        (2, "Other report"),
        (1, "Report"),
    ]
    assert versions["versions"][0]["createdBy"] == "alice"
    newest = as_alice.get("/api/workflows/report/versions?limit=1").json()
    assert len(newest["versions"]) == 1
    rest = as_alice.get(f"/api/workflows/report/versions?cursor={newest['nextCursor']}").json()
    assert [each["version"] for each in rest["versions"]] == [1]
    job = as_alice.get(run(as_alice)["Location"]).json()
    assert (job["name"], job["workflowVersion"]) == ("Other report", 2)


def test_an_older_version_runs(as_alice: Client) -> None:
    save(as_alice)
    put(as_alice, {"payload": OTHER})
    job = as_alice.get(run(as_alice, body={"version": 1})["Location"]).json()
    assert (job["name"], job["workflowVersion"]) == ("Report", 1)
    assert errors(run(as_alice, body={"version": 3})) == {"version": "unknown"}


def test_the_options_of_a_job(as_alice: Client) -> None:
    save(as_alice)
    body = {"priority": "high", "tags": ["t"], "projectId": "p", "maxParallel": 2, "delaySeconds": 60}
    started = run(as_alice, body=body)
    job = as_alice.get(started["Location"]).json()
    assert (job["priority"], job["tags"], job["projectId"], job["status"]) == ("high", ["t"], "p", "waiting")
    assert WorkflowExecution.objects.get(pk=job["jobId"]).max_parallel == 2


def test_idempotency(as_alice: Client) -> None:
    save(as_alice)
    first = run(as_alice, body={"idempotencyKey": "k", "tags": ["t"]})
    put(as_alice, {"payload": OTHER})
    again = run(as_alice, body={"tags": ["t"]}, **{"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["jobId"] == first.json()["jobId"]
    other = run(as_alice, body={"idempotencyKey": "k"})
    assert (other.status_code, errors(other)) == (409, {None: "idempotency_key_reused"})
    save(as_alice, "second")
    other = run(as_alice, "/api/workflows/second/runs", {"idempotencyKey": "k", "tags": ["t"]})
    assert other.status_code == 409


def test_a_run_takes_no_payload(as_alice: Client) -> None:
    save(as_alice)
    response = run(as_alice, body={"payload": OTHER, "jobType": "workflow", "foo": 1})
    assert errors(response) == {"payload": "unknown", "jobType": "unknown", "foo": "unknown"}
    assert errors(run(as_alice, body={"priority": "now", "maxParallel": 0, "version": "1"})) == {
        "priority": "invalid_choice",
        "maxParallel": "min_value",
        "version": "invalid",
    }
    assert run(as_alice, body=[]).status_code == 400
    assert as_alice.post("/api/workflows/report/runs").status_code == 202
    assert WorkflowExecution.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"name": "Not This"}, {"name": "invalid"}),
        ({"name": "a" * 65}, {"name": "invalid"}),
        ({"name": ""}, {"name": "blank"}),
        ({"name": "späti"}, {"name": "invalid"}),
        ({"name": 5}, {"name": "invalid"}),
        ({"isShared": "yes"}, {"isShared": "invalid"}),
        ({"foo": 1}, {"foo": "unknown"}),
        ({"payload": []}, {"payload": "invalid"}),
        ({"payload": {"workflowName": "A", "steps": []}}, {"payload.steps": "min_length"}),
        (
            {"payload": {"workflowName": "A", "steps": [{"name": "B", "tool": "C"}]}},
            {"payload.steps.0.tool": "unknown"},
        ),
        ({"payload": PAYLOAD | {"foo": 1}}, {"payload.foo": "unknown"}),
        ({"payload": PAYLOAD | {"mode": "None such"}}, {"payload.mode": "unknown"}),
        ({"payload": PAYLOAD | {"workflowDescription": "é" * 140_000}}, {"payload": "max_length"}),
    ],
)
def test_bad_requests(as_alice: Client, change: dict[str, Any], wrong: dict[str, str]) -> None:
    response = post(as_alice, "/api/workflows", {"name": "report", "payload": PAYLOAD} | change)
    assert (response.status_code, errors(response)) == (400, wrong)
    assert not SavedWorkflow.objects.exists()
    save(as_alice)
    if "name" not in change:
        response = put(as_alice, {"payload": PAYLOAD} | change)
        assert (response.status_code, errors(response)) == (400, wrong)
        assert as_alice.get("/api/workflows/report").json()["version"] == 1


def test_bad_queries(as_alice: Client) -> None:
    save(as_alice)
    for path in ("", "/report", "/report/versions", "/report/runs"):
        method = as_alice.post if path.endswith("runs") else as_alice.get
        assert errors(method(f"/api/workflows{path}?foo=1")) == {"foo": "unknown"}
    for path in ("", "/report/versions"):
        assert errors(as_alice.get(f"/api/workflows{path}?cursor=x")) == {"cursor": "invalid_cursor"}
        assert errors(as_alice.get(f"/api/workflows{path}?limit=201")) == {"limit": "max_value"}


def test_names_are_unique_per_owner(as_alice: Client, as_bob: Client) -> None:
    save(as_alice)
    response = post(as_alice, "/api/workflows", {"name": "report", "payload": OTHER})
    assert (response.status_code, errors(response)) == (409, {None: "name_taken"})
    assert save(as_bob, payload=OTHER)["owner"] == "bob"
    assert as_bob.get("/api/workflows/report").json()["payload"] == OTHER
    assert as_alice.get("/api/workflows/report").json()["payload"] == PAYLOAD


def test_private_ones_are_hidden(as_alice: Client, as_bob: Client, as_charlie: Client) -> None:
    saved = save(as_alice)
    assert as_bob.get("/api/workflows?owner=all").json()["workflows"] == []
    assert as_bob.get("/api/workflows?owner=alice").json()["workflows"] == []
    for query in ("", "?owner=alice"):
        path = f"/api/workflows/report{query}"
        assert as_bob.get(path).status_code == 404
        assert put(as_bob, {"payload": OTHER}, path).status_code == 404
        assert as_bob.delete(path).status_code == 404
        assert run(as_bob, f"/api/workflows/report/runs{query}").status_code == 404
        assert as_bob.get(f"/api/workflows/report/versions{query}").status_code == 404
    assert as_charlie.get("/api/workflows/report").json() == saved
    assert as_charlie.get("/api/workflows").json()["workflows"] == []
    assert as_charlie.get("/api/workflows?owner=all").json()["workflows"] == [saved]
    assert put(as_charlie, {"payload": OTHER}).json()["owner"] == "alice"
    assert AuditEvent.objects.filter(action="request.refused", object__startswith="workflow:").exists()
    assert Client().get("/api/workflows").status_code == 401


def test_shared_ones_are_read_and_run_by_everybody(as_alice: Client, as_bob: Client, bob: User) -> None:
    save(as_alice)
    saved = put(as_alice, {"isShared": True}).json()
    assert (saved["isShared"], saved["version"]) == (True, 1)
    assert as_bob.get("/api/workflows").json()["workflows"] == []
    assert as_bob.get("/api/workflows?owner=all").json()["workflows"] == [saved]
    assert as_bob.get("/api/workflows/report").json() == saved
    assert as_bob.get("/api/workflows/report/versions").status_code == 200
    job = as_bob.get(run(as_bob)["Location"]).json()
    assert (job["owner"], job["workflow"]) == ("bob", "report")
    assert put(as_bob, {"payload": OTHER}).status_code == 404
    assert as_bob.delete("/api/workflows/report").status_code == 404
    assert put(as_alice, {"isShared": False}).json()["isShared"] is False
    assert as_bob.get("/api/workflows/report").status_code == 404


def test_whose_workflow_a_name_means(as_alice: Client, as_bob: Client, as_charlie: Client) -> None:
    """It means the user's own one, then the only shared one. `owner` decides in any case."""
    save(as_alice, isShared=True)
    save(as_bob, isShared=True)
    assert as_bob.get("/api/workflows/report").json()["owner"] == "bob"
    assert as_bob.get("/api/workflows/report?owner=alice").json()["owner"] == "alice"
    response = as_charlie.get("/api/workflows/report")
    assert (response.status_code, errors(response)) == (409, {None: "ambiguous"})
    assert as_charlie.get("/api/workflows/report?owner=bob").json()["owner"] == "bob"
    assert as_charlie.get("/api/workflows/report?owner=nobody").status_code == 404


def test_a_change_to_a_workflow_that_has_changed(as_alice: Client) -> None:
    save(as_alice)
    tag = as_alice.get("/api/workflows/report")["ETag"]
    assert put(as_alice, {"payload": OTHER}, **{"If-Match": tag}).status_code == 200
    response = put(as_alice, {"payload": PAYLOAD}, **{"If-Match": tag})
    assert (response.status_code, errors(response)) == (412, {None: "precondition_failed"})
    assert as_alice.delete("/api/workflows/report", headers={"If-Match": tag}).status_code == 412
    assert put(as_alice, {"payload": PAYLOAD}, **{"If-Match": "*"}).json()["version"] == 3
    response = put(as_alice, {"payload": OTHER, "version": 2})
    assert (response.status_code, errors(response)) == (409, {None: "wrong_version"})
    assert put(as_alice, {"payload": OTHER, "version": 3}).json()["version"] == 4
    assert errors(put(as_alice, {})) == {"payload": "required"}
    assert put(as_alice, {"payload": OTHER}, "/api/workflows/none").status_code == 404


def test_unchanged_is_a_304(as_alice: Client) -> None:
    save(as_alice)
    for path in ("/api/workflows", "/api/workflows/report", "/api/workflows/report/versions"):
        tag = as_alice.get(path)["ETag"]
        assert as_alice.get(path, headers={"If-None-Match": tag}).status_code == 304
    put(as_alice, {"isShared": True})
    assert as_alice.get("/api/workflows", headers={"If-None-Match": tag}).status_code == 200


def test_lists_have_pages_and_a_filter(as_alice: Client) -> None:
    for name in ("a", "b", "c"):
        save(as_alice, name)
    found = as_alice.get("/api/workflows?limit=2").json()
    assert [each["name"] for each in found["workflows"]] == ["c", "b"]
    found = as_alice.get(f"/api/workflows?limit=2&cursor={found['nextCursor']}").json()
    assert ([each["name"] for each in found["workflows"]], found["nextCursor"]) == (["a"], None)
    save(as_alice, "d", payload=OTHER)
    assert [each["name"] for each in as_alice.get("/api/workflows?q=OTHER").json()["workflows"]] == ["d"]


def test_delete(as_alice: Client) -> None:
    save(as_alice)
    job = run(as_alice)["Location"]
    assert as_alice.delete("/api/workflows/report").status_code == 204
    assert as_alice.get("/api/workflows/report").status_code == 404
    assert not WorkflowVersion.objects.exists()
    assert as_alice.get(job).json()["workflow"] == "report"


def test_changes_are_audited(as_alice: Client) -> None:
    save(as_alice)
    put(as_alice, {"payload": OTHER, "isShared": True})
    put(as_alice, {"isShared": True})
    as_alice.delete("/api/workflows/report")
    found = AuditEvent.objects.filter(object__startswith="workflow:").order_by("id")
    assert list(found.values_list("actor", "action", "changes")) == [
        ("alice", "workflow.saved", {"name": "report", "version": 1, "isShared": False}),
        ("alice", "workflow.changed", {"name": "report", "version": 2, "isShared": True}),
        ("alice", "workflow.deleted", {"name": "report", "version": 2}),
    ]


def test_a_payload_that_has_become_invalid(as_alice: Client) -> None:
    mode = Mode.objects.create(name="Passing")
    save(as_alice, payload=PAYLOAD | {"mode": "Passing"})
    mode.delete()
    assert errors(run(as_alice)) == {"payload.mode": "unknown"}
    assert not WorkflowExecution.objects.exists()


def test_a_rerun_keeps_the_workflow_with_its_payload(as_alice: Client) -> None:
    save(as_alice)
    job = run(as_alice).json()["jobId"]
    complete_all(WorkflowExecution.objects.get(pk=job))
    again = post(as_alice, f"/api/jobs/{job}/rerun", {}).json()
    assert (again["workflow"], again["workflowVersion"]) == ("report", 1)
    other = post(as_alice, f"/api/jobs/{job}/rerun", {"payload": OTHER}).json()
    assert (other["workflow"], other["workflowVersion"]) == (None, None)


@pytest.mark.django_db(transaction=True)
def test_two_changes_at_once_make_two_versions(alice: User) -> None:
    clients = [client_of(alice), client_of(alice)]
    save(clients[0])

    def change(client: Client) -> None:
        for _ in range(5):
            assert put(client, {"payload": OTHER}).status_code == 200
        connection.close()

    threads = [Thread(target=change, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert SavedWorkflow.objects.get().version == 11
    assert sorted(WorkflowVersion.objects.values_list("version", flat=True)) == list(range(1, 12))
