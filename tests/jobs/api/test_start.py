"""POST /api/jobs"""

import json
import threading
from collections.abc import Callable
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from aiworkstation.access import quota
from documents.models import Document
from documents.storage.stored_files import store
from jobs.models import IdempotencyKey
from jobs.start import start
from tests.support.jobs import BODY, start_job
from tests.support.three_bodies import BULK, REPROCESS, WORKFLOW
from tests.support.users import client_of, make_user
from workflows.models import Mode, WorkflowExecution, WorkflowStep

Response = Any  # of the test client: a response with json()
Upload = Callable[..., Document]


@pytest.fixture
def upload(settings: Settings, tmp_path: Any) -> Upload:
    settings.MEDIA_ROOT = tmp_path

    def make(owner: User, id: str, **labels: Any) -> Document:
        return store(owner, f"{id}.txt", BytesIO(id.encode()), client_id=id, **labels)

    return make


def post(client: Client, body: Any, **headers: str) -> Response:
    text = body if isinstance(body, str) else json.dumps(body)
    return client.post("/api/jobs", text, content_type="application/json", headers=headers)


def workflow(*steps: dict[str, Any], **payload: Any) -> dict[str, Any]:
    return {"jobType": "workflow", "payload": {"workflowName": "Any", "steps": list(steps), **payload}}


def errors(response: Response) -> dict[str, str]:
    """Returns the errors by attribute. A 400 must not have written a row."""
    body = response.json()
    assert response.status_code == 400, body
    assert body["type"] == "validation_error"
    assert not WorkflowExecution.objects.exists()
    return {error["attr"]: error["detail"] for error in body["errors"]}


def test_it_works(as_alice: Client) -> None:
    response = post(as_alice, WORKFLOW)
    assert response.status_code == 202
    body = response.json()
    assert body == {
        "jobId": body["jobId"],
        "jobType": "workflow",
        "status": "queued",
        "url": f"/api/jobs/{body['jobId']}",
        "panelUrl": f"/jobs/{body['jobId']}",
    }
    assert response["Location"] == body["url"]
    job = as_alice.get(body["url"]).json()
    assert (job["name"], job["description"]) == ("Process Sales Data", "Analyze and process sales data")
    assert (job["mode"], job["modelId"], job["priority"]) == ("Sales", "gpt-4o", "normal")
    assert job["payload"] == WORKFLOW["payload"]
    steps = job["steps"]
    assert [step["name"] for step in steps] == ["Fetch Data", "Analyze", "Report"]
    assert [step["tool"] for step in steps] == ["HUBSPOT_GET_CONTACTS", None, None]
    assert [step["dependsOn"] for step in steps] == [[], ["Fetch Data"], ["Analyze"]]
    assert [step["status"] for step in steps] == ["ready", "pending", "pending"]
    assert {step["maxAttempts"] for step in steps} == {3}


def test_it_ingests_documents(as_alice: Client, alice: User, upload: Upload) -> None:
    documents = [upload(alice, "doc1", tags=["legal", "old"]), upload(alice, "doc2")]
    response = post(as_alice, BULK)
    assert response.status_code == 202
    job = as_alice.get(response.json()["url"]).json()
    assert job["name"] == "Ingest 2 documents"
    assert (job["priority"], job["mode"], job["projectId"]) == ("low", "Admin", "project-123")
    assert job["tags"] == ["important", "legal"]
    assert [step["name"] for step in job["steps"]] == ["doc1.txt", "doc2.txt"]
    assert job["steps"][0]["arguments"] == {
        "documentId": str(documents[0].uid),
        "chunkSize": 500,
        "overlap": 100,
    }
    assert {step["status"] for step in job["steps"]} == {"ready"}
    assert WorkflowExecution.objects.get().tolerates_failures
    for document, step, tags in zip(
        documents, job["steps"], (["legal", "old", "important"], ["important", "legal"]), strict=True
    ):
        document.refresh_from_db()
        assert (document.project_id, document.mode, document.tags) == ("project-123", "Admin", tags)
        assert str(document.step_id) == step["stepId"]
    assert {document.state for document in Document.objects.with_state()} == {"queued"}


def test_it_reprocesses_documents(as_alice: Client, alice: User, upload: Upload) -> None:
    for name in ("doc1", "doc2", "doc3"):
        upload(alice, name, project_id="kept", mode="Admin")
    response = post(as_alice, REPROCESS)
    assert response.status_code == 202
    steps = as_alice.get(response.json()["url"]).json()["steps"]
    assert [step["tool"] for step in steps] == ["DOCUMENT_REPROCESS"] * 3
    assert {(step["arguments"]["chunkSize"], step["arguments"]["overlap"]) for step in steps} == {(500, 100)}
    assert set(Document.objects.values_list("project_id", "mode")) == {("kept", "Sales")}


def test_it_resolves_documents_as_their_user_may_see_them(
    as_bob: Client, as_charlie: Client, alice: User, upload: Upload
) -> None:
    document = upload(alice, "doc1")
    uid = str(document.uid)

    def reprocess(client: Client, *ids: str) -> Response:
        return post(client, {"jobType": "document-reprocess", "payload": {"documentIds": ids}})

    assert errors(reprocess(as_bob, "doc1", uid)).keys() == {"payload.documentIds.0", "payload.documentIds.1"}
    assert errors(reprocess(as_charlie, "doc1")).keys() == {"payload.documentIds.0"}
    assert reprocess(as_charlie, uid).status_code == 202


def test_it_refuses_documents_named_twice(as_alice: Client, alice: User, upload: Upload) -> None:
    document = upload(alice, "doc1")
    entries = [{"id": "doc1"}, {"id": str(document.uid)}]
    response = post(as_alice, {"jobType": "bulk-documents", "payload": {"documents": entries}})
    assert errors(response).keys() == {"payload.documents.1.id"}


def test_it_asks_for_documents_once(
    alice: User,
    upload: Upload,
    django_assert_num_queries: DjangoAssertNumQueries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"n{number}" for number in range(30)]
    for name in names:
        upload(alice, name)
    body = {"jobType": "bulk-documents", "payload": {"documents": [{"id": name} for name in names]}}
    # The mode, documents; savepoint, job with its steps, attached, its input, job read back, released. For 30 as for 1.
    monkeypatch.setattr("aiworkstation.access.quota.ROUGHLY_SECONDS", 1_000)
    quota.check_start(alice.pk)
    with django_assert_num_queries(8):
        start(alice, body)
    with django_assert_num_queries(8):
        start(alice, {"jobType": "bulk-documents", "payload": {"documents": [{"id": "n1"}]}})


def test_it_reports_every_bad_field(as_alice: Client) -> None:
    body = {
        "jobType": "workflow",
        "delaySeconds": -1,
        "maxParallel": 0,
        "priority": "urgent",
        "surprise": 1,
        "payload": {
            "steps": [
                {"name": "", "tool": "NO_SUCH_TOOL"},
                {"name": "b", "maxAttempts": 21, "timeoutSeconds": 0, "dependsOn": ["nobody"]},
                {"name": "c", "tool": "HTTP_REQUEST", "arguments": {"timeoutSeconds": 0, "what": 1}},
                {"name": "d", "arguments": {}},
                "not an object",
            ],
            "mode": "Nobody",
            "extra": True,
        },
    }
    found = errors(post(as_alice, body))
    assert found.keys() == {
        "delaySeconds",
        "maxParallel",
        "priority",
        "surprise",
        "payload.workflowName",
        "payload.mode",
        "payload.extra",
        "payload.steps.0.name",
        "payload.steps.0.tool",
        "payload.steps.1.maxAttempts",
        "payload.steps.1.timeoutSeconds",
        "payload.steps.1.dependsOn",
        "payload.steps.2.arguments.url",
        "payload.steps.2.arguments.timeoutSeconds",
        "payload.steps.2.arguments.what",
        "payload.steps.3.arguments",
        "payload.steps.4",
    }
    assert "Admin, General, Sales" in found["payload.mode"]


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({}, "jobType"),
        ({"jobType": "workflow"}, "payload"),
        ({"jobType": "nothing", "payload": {}}, "jobType"),
        ({"jobType": "workflow", "payload": []}, "payload"),
        ([], "nonFieldErrors"),
        (workflow(), "payload.steps"),
        (workflow(*[{"name": "x"}] * 201), "payload.steps"),
        (workflow({"name": 5}), "payload.steps.0.name"),
        (workflow({"name": "x" * 301}), "payload.steps.0.name"),
        (
            workflow({"name": "x", "tool": "HTTP_REQUEST", "arguments": {"url": "https://a", "json": 1, "body": ""}}),
            "payload.steps.0.arguments",
        ),
        (workflow({"name": "x", "maxAttempts": "3"}), "payload.steps.0.maxAttempts"),
        (workflow({"name": "x", "maxAttempts": True}), "payload.steps.0.maxAttempts"),
        (workflow({"name": "x"}) | {"delaySeconds": 30 * 24 * 3600 + 1}, "delaySeconds"),
        (workflow({"name": "x"}) | {"tags": ["a", 5]}, "tags.1"),
        (workflow({"name": "x\0"}), "payload.steps.0.name"),
        (workflow({"name": "x", "description": "\ud800"}), "payload.steps.0.description"),
        ({"jobType": "bulk-documents", "payload": {"documents": []}}, "payload.documents"),
        ({"jobType": "bulk-documents", "payload": {"documents": [{"id": "nobody"}]}}, "payload.documents.0.id"),
        ({"jobType": "document-reprocess", "payload": {"documentIds": ["nobody"]}}, "payload.documentIds.0"),
        (
            {"jobType": "bulk-documents", "payload": {"documents": [{"id": "x"}] * 10_001}},
            "payload.documents",
        ),
    ],
)
def test_it_refuses(as_alice: Client, body: Any, attr: str) -> None:
    assert attr in errors(post(as_alice, body))


@pytest.mark.parametrize(("size", "overlap"), [(100, 100), (8000, 7990), (20, 19), (8000, 7201)])
def test_it_refuses_too_much_overlap(as_alice: Client, alice: User, upload: Upload, size: int, overlap: int) -> None:
    upload(alice, "doc1")
    payload = {"documentIds": ["doc1"], "newChunkSize": size, "newOverlap": overlap}
    response = post(as_alice, {"jobType": "document-reprocess", "payload": payload})
    assert errors(response).keys() == {"payload.newOverlap"}


class TestDependencies:
    def depends_on(self, client: Client, *steps: dict[str, Any]) -> list[list[str]]:
        response = post(client, workflow(*steps))
        assert response.status_code == 202, response.json()
        return [step["dependsOn"] for step in client.get(response.json()["url"]).json()["steps"]]

    def test_forward_and_at_once(self, as_alice: Client) -> None:
        a, b, c = {"name": "a", "dependsOn": ["c"]}, {"name": "b"}, {"name": "c", "dependsOn": []}
        assert self.depends_on(as_alice, a, b, c) == [["c"], ["a"], []]
        assert set(WorkflowStep.objects.filter(status="ready").values_list("name", flat=True)) == {"c"}

    def test_equal_names_without_it(self, as_alice: Client) -> None:
        assert self.depends_on(as_alice, {"name": "a"}, {"name": "a"}) == [[], ["a"]]

    def test_equal_names_with_it(self, as_alice: Client) -> None:
        response = post(as_alice, workflow({"name": "a"}, {"name": "a", "dependsOn": []}))
        assert errors(response).keys() == {"payload.steps.1.name"}

    def test_cycle(self, as_alice: Client) -> None:
        a, b = {"name": "a", "dependsOn": ["b"]}, {"name": "b"}
        behind = {"name": "behind"}
        response = post(as_alice, workflow(a, b, behind))
        assert errors(response).keys() == {"payload.steps.0.dependsOn", "payload.steps.1.dependsOn"}

    def test_itself(self, as_alice: Client) -> None:
        response = post(as_alice, workflow({"name": "a", "dependsOn": ["a"]}))
        assert errors(response).keys() == {"payload.steps.0.dependsOn"}


def test_a_mode_allows_only_its_tools(as_alice: Client) -> None:
    Mode.objects.create(name="Narrow", tools=["DOCUMENT_READ"])
    steps = [{"name": "a", "tool": "HTTP_REQUEST"}, {"name": "b", "tool": "DOCUMENT_READ"}, {"name": "c"}]
    response = post(as_alice, workflow(*steps, mode="Narrow"))
    assert errors(response).keys() == {"payload.steps.0.tool"}


def test_secrets_are_stored_as_they_are_written(as_alice: Client) -> None:
    arguments = {
        "url": "https://crm.example/?key={{secret.CRM}}",
        "headers": {"Authorization": "Bearer {{secret.CRM}}"},
        "json": {"a": [{"b": "{{ secret.CRM }}"}]},
    }
    response = post(as_alice, workflow({"name": "a", "tool": "HTTP_REQUEST", "arguments": arguments}))
    job = as_alice.get(response.json()["url"]).json()
    assert job["steps"][0]["arguments"] == arguments


@pytest.mark.parametrize(
    ("tool", "arguments", "attr"),
    [
        ("HTTP_REQUEST", {"url": "https://{{secret.CRM}}.example/"}, "url"),
        ("HTTP_REQUEST", {"url": "https://a.example/{{secret.CRM}}"}, "url"),
        ("HTTP_REQUEST", {"url": "https://a.example/?{{secret.CRM}}=1"}, "url"),
        ("HTTP_REQUEST", {"url": "https://a.example/#{{secret.CRM}}"}, "url"),
        ("HTTP_REQUEST", {"url": "{{secret.CRM}}"}, "url"),
        ("HTTP_REQUEST", {"url": "https://a.example", "headers": {"{{secret.CRM}}": "x"}}, "headers.{{secret.CRM}}"),
        ("HTTP_REQUEST", {"url": "https://a.example", "json": [{"{{secret.A}}": 1}]}, "json.0.{{secret.A}}"),
        ("HTTP_REQUEST", {"url": "https://a.example", "method": "{{secret.CRM}}"}, "method"),
        ("EXTERNAL_WORKER", {"url": "https://a.example/?x={{secret.CRM}}"}, "url"),
        ("DOCUMENT_READ", {"documentId": "{{secret.CRM}}"}, "documentId"),
        ("DOCUMENT_SEARCH", {"query": "{{secret.CRM}}"}, "query"),
        ("HUBSPOT_GET_CONTACTS", {"properties": ["{{secret.CRM}}"]}, "properties"),
    ],
)
def test_a_secret_where_none_may_be_is_refused(as_alice: Client, tool: str, arguments: Any, attr: str) -> None:
    response = post(as_alice, workflow({"name": "Send", "tool": tool, "arguments": arguments}))
    assert f"payload.steps.0.arguments.{attr}" in errors(response)


@pytest.mark.parametrize(
    ("arguments", "attr"),
    [
        ({"url": "{{steps.Read.output}}"}, "url"),
        ({"url": "https://a/{{ input.name }}/{{secret.CRM}}"}, "url"),
        ({"url": "{{secrets.CRM}}"}, "url"),
        ({"url": "{{secret.C R M}}"}, "url"),
        ({"url": "https://a", "headers": {"X": "{{secret:CRM}}"}}, "headers.X"),
        ({"url": "https://a", "headers": {"{{name}}": "x"}}, "headers.{{name}}"),
        ({"url": "https://a", "json": {"a": [1, {"b": "${{ steps.Read }}"}]}}, "json.a.1.b"),
        ({"url": "https://a", "body": "one\n{{\nsteps.Read\n}}"}, "body"),
        ({"url": "{{steps.Read.output}}", "timeoutSeconds": -1}, "url"),
    ],
)
def test_a_placeholder_that_is_no_secret_is_refused(as_alice: Client, arguments: Any, attr: str) -> None:
    response = post(as_alice, workflow({"name": "Send", "tool": "HTTP_REQUEST", "arguments": arguments}))
    detail = errors(response)[f"payload.steps.0.arguments.{attr}"]
    assert "{{secret.NAME}}" in detail
    assert "dependsOn" in detail


@pytest.mark.parametrize("body", ['{"a":{"b":1}}', "{{secret.A}}", '{"a":{{secret.A}}}', "{{ open", "a }} b {{ c"])
def test_other_braces_are_passed_on(as_alice: Client, body: str) -> None:
    arguments = {"url": "https://a", "body": body}
    response = post(as_alice, workflow({"name": "Send", "tool": "HTTP_REQUEST", "arguments": arguments}))
    assert response.status_code == 202, response.json()


@pytest.mark.parametrize(
    "text",
    [
        "Sum up {{steps.Read.output}}",
        "{{ steps[0].output }}",
        "{{Read}}",
        "{{ Read.output.text }}",
        "{{input}}",
        "{{ inputs.a }}",
    ],
)
def test_a_reference_to_a_step_is_refused_in_texts_for_models(as_alice: Client, text: str) -> None:
    steps = [{"name": "Read"}, {"name": "Report", "description": text}]
    found = errors(post(as_alice, workflow(*steps, workflowDescription=text)))
    assert found.keys() == {"payload.steps.1.description", "payload.workflowDescription"}
    assert "dependsOn" in found["payload.steps.1.description"]


@pytest.mark.parametrize(
    "text", ["Fill in the template: Dear {{name}}", r"\frac{{a}}{{b}}", "{{ user.inputs }}", "{{secret.A}}"]
)
def test_other_braces_in_texts_for_models_are_kept(as_alice: Client, text: str) -> None:
    response = post(as_alice, workflow({"name": "Write", "description": text}, workflowDescription=text))
    assert response.status_code == 202, response.json()


@pytest.mark.parametrize(
    ("body", "attr", "known"),
    [
        ({**BODY, "prio": 1}, "prio", "jobType, payload, idempotencyKey, delaySeconds, priority"),
        (workflow({"name": "x"}, colour=1), "payload.colour", "mode, projectId, tags, workflowName"),
        (workflow({"name": "x", "retries": 1}), "payload.steps.0.retries", "name, description, tool, arguments"),
        ({**BODY, "priority": "urgent"}, "priority", "high, normal, low"),
        ({**BODY, "priority": {}}, "priority", "high, normal, low"),
        (workflow({"name": "x", "dependsOn": ["y"]}), "payload.steps.0.dependsOn", '"x"'),
        (
            workflow({"name": "x", "tool": "HTTP_REQUEST", "arguments": {"url": "https://a", "data": 1}}),
            "payload.steps.0.arguments.data",
            "method, url, headers, json, body, timeoutSeconds",
        ),
    ],
)
def test_an_unknown_key_or_choice_lists_the_known_ones(as_alice: Client, body: Any, attr: str, known: str) -> None:
    assert f": {known}" in errors(post(as_alice, body))[attr]


def test_options(as_alice: Client) -> None:
    options = {"delaySeconds": 60, "priority": "high", "tags": ["b", "a", "b"], "projectId": "p", "maxParallel": 2}
    response = post(as_alice, workflow({"name": "x"}, tags=["c", "a"]) | options)
    assert response.json()["status"] == "waiting"
    job = as_alice.get(response.json()["url"]).json()
    assert (job["priority"], job["tags"], job["projectId"]) == ("high", ["c", "a", "b"], "p")
    assert job["waitingFor"].startswith('"x" starts at ')
    assert WorkflowExecution.objects.get().max_parallel == 2


class TestIdempotencyKey:
    def test_the_same_body(self, as_alice: Client) -> None:
        first = post(as_alice, BODY | {"idempotencyKey": "k"})
        again = post(as_alice, BODY, **{"Idempotency-Key": "k"})
        assert (first.status_code, again.status_code) == (202, 200)
        assert again.json()["jobId"] == first.json()["jobId"]
        assert WorkflowExecution.objects.count() == 1

    def test_another_body(self, as_alice: Client) -> None:
        post(as_alice, BODY | {"idempotencyKey": "k"})
        response = post(as_alice, BODY | {"idempotencyKey": "k", "tags": ["x"]})
        assert response.status_code == 409
        assert response.json()["errors"][0]["code"] == "idempotency_key_reused"

    def test_another_user(self, as_alice: Client, as_bob: Client) -> None:
        first = post(as_alice, BODY | {"idempotencyKey": "k"})
        other = post(as_bob, BODY | {"idempotencyKey": "k"})
        assert other.status_code == 202
        assert other.json()["jobId"] != first.json()["jobId"]

    def test_the_header_has_another_key(self, as_alice: Client) -> None:
        response = post(as_alice, BODY | {"idempotencyKey": "k"}, **{"Idempotency-Key": "other"})
        assert errors(response).keys() == {"idempotencyKey"}

    @pytest.mark.parametrize("key", ["", " ", "x" * 256, 5, ["k"], {}])
    def test_no_key(self, as_alice: Client, key: Any) -> None:
        assert errors(post(as_alice, BODY | {"idempotencyKey": key})).keys() == {"idempotencyKey"}

    def test_other_errors_are_reported_too(self, as_alice: Client) -> None:
        bad = BODY | {"idempotencyKey": "k", "priority": "urgent"}
        assert errors(post(as_alice, bad | {"idempotencyKey": ""})).keys() == {"idempotencyKey", "priority"}
        other = post(as_alice, bad, **{"Idempotency-Key": "other"})
        assert errors(other).keys() == {"idempotencyKey", "priority"}
        assert errors(post(as_alice, bad)).keys() == {"priority"}

    def test_after_a_day(self, as_alice: Client) -> None:
        post(as_alice, BODY | {"idempotencyKey": "k"})
        with connection.cursor() as cursor:
            cursor.execute("UPDATE job_idempotency_keys SET created_at = now() - interval '24 hours'")
        assert post(as_alice, BODY | {"idempotencyKey": "k", "tags": ["x"]}).status_code == 202
        assert IdempotencyKey.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_with_one_key_start_one_job() -> None:
    # Modes went with the tables that an earlier test flushed; this job asks for none.
    user = make_user("alice")
    together = threading.Barrier(2)
    seen: list[tuple[UUID, bool]] = []

    def request() -> None:
        together.wait()
        execution, is_new = start(user, BODY, idempotency_key="k")
        seen.append((execution.pk, is_new))
        connection.close()

    threads = [threading.Thread(target=request) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({key for key, _ in seen}) == 1
    assert sorted(is_new for _, is_new in seen) == [False, True]
    assert WorkflowExecution.objects.count() == 1


def test_the_actor_is_recorded(alice: User) -> None:
    execution = start_job(alice)
    events = client_of(alice).get(f"/api/jobs/{execution.pk}/events").json()["events"]
    assert [(event["actor"], event["action"]) for event in events] == [("alice", "job.queued")]


@pytest.mark.parametrize("depth", [101, 500, 928, 20_000])
def test_json_that_is_nested_too_deeply(as_alice: Client, depth: int) -> None:
    body = json.dumps(BODY)[:-1] + ', "x": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}"
    response = as_alice.post("/api/jobs", body, "application/json")
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["code"] == "parse_error"
    assert f"nested {depth} levels deep" in error["detail"]


def test_arguments_may_be_nested(as_alice: Client) -> None:
    value: Any = 1
    for _ in range(95):
        value = [value]
    step = {"name": "Send", "tool": "HTTP_REQUEST", "arguments": {"url": "http://example.com/", "json": value}}
    payload = {"workflowName": "w", "steps": [step]}
    response = as_alice.post("/api/jobs", {"jobType": "workflow", "payload": payload}, "application/json")
    assert response.status_code == 202, response.json()
    assert as_alice.get(response["Location"]).json()["steps"][0]["arguments"]["json"] == value


def test_null_for_an_optional_argument(as_alice: Client) -> None:
    arguments = {"url": "http://example.com/", "method": None, "headers": None, "timeoutSeconds": None}
    step = {"name": "Send", "tool": "HTTP_REQUEST", "arguments": arguments}
    body = {"jobType": "workflow", "payload": {"workflowName": "w", "steps": [step]}}
    assert as_alice.post("/api/jobs", body, "application/json").status_code == 202
