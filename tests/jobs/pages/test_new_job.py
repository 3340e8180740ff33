"""Starting jobs from a page, without JavaScript."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django.asserts import assertRedirects
from pytest_django.fixtures import Settings

from documents.models import Document
from tests.support.documents import upload
from tests.support.html import text
from workflows.models import WorkflowExecution, WorkflowStep

PASTED = {"workflowName": "Pasted", "steps": [{"name": "One"}]}


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


def form(*steps: dict[str, str], rows: int = 5, **fields: str) -> dict[str, str]:
    """What a browser sends: as many rows as the page has, the later ones empty."""
    filled = [*steps, *({} for _ in range(rows - len(steps)))]
    sent = {"steps-TOTAL_FORMS": str(rows), "steps-INITIAL_FORMS": "0", "mode": "General", **fields}
    for number, step in enumerate(filled):
        for name in ("name", "description", "tool", "arguments"):
            sent[f"steps-{number}-{name}"] = step.get(name, "")
    return sent


def test_it_works(alice: User, at_alice: Client) -> None:
    assert text(at_alice.get("/jobs/new")).count("<fieldset") == 5
    steps = (
        {"name": "Look", "tool": "DOCUMENT_SEARCH", "arguments": '{"query": "prices"}'},
        {"name": "Tell", "description": "What do they cost?"},
    )
    response = at_alice.post("/jobs/new", form(*steps, name="Prices", description="Of today", mode="Sales"))
    job = WorkflowExecution.objects.get(owner=alice)
    assertRedirects(response, f"/jobs/{job.pk}")
    assert (job.name, job.description, job.mode) == ("Prices", "Of today", "Sales")
    look, tell = WorkflowStep.objects.filter(execution=job).order_by("index")
    assert (look.tool, look.arguments) == ("DOCUMENT_SEARCH", {"query": "prices"})
    assert (tell.name, tell.depends_on) == ("Tell", [0])


def test_sent_twice_is_one_job(alice: User, at_alice: Client) -> None:
    sent = form({"name": "One"}, name="Once", key="0190-key")
    assert at_alice.post("/jobs/new", sent).headers["location"] == at_alice.post("/jobs/new", sent).headers["location"]
    assert WorkflowExecution.objects.count() == 1
    at_alice.post("/jobs/new", sent | {"name": "Changed, after going back"})
    assert WorkflowExecution.objects.count() == 2


def test_json_that_is_sent_twice_is_one_job(alice: User, at_alice: Client) -> None:
    payload = {"workflowName": "Pasted", "steps": [{"name": "One"}]}
    sent = {"body": json.dumps(payload), "key": "0190-key"}
    first, second = (at_alice.post("/jobs/new/paste", sent)["Location"] for _ in range(2))
    assert first == second
    body = {"jobType": "workflow", "payload": payload, "idempotencyKey": "of the body"}
    for key in ("one", "two"):
        assert at_alice.post("/jobs/new/paste", {"body": json.dumps(body), "key": key}).status_code == 302
    assert WorkflowExecution.objects.count() == 2


def test_errors_stand_beside_their_fields(at_alice: Client) -> None:
    sent = form(
        {},
        {"name": "Look", "tool": "DOCUMENT_SEARCH", "arguments": '{"limit": "many"}'},
        {"description": "nameless"},
        name="",
    )
    response = at_alice.post("/jobs/new", sent)
    assert response.status_code == 400
    rows = response.context["steps"].forms
    assert "workflowName" not in rows[0].errors
    assert response.context["form"].errors["name"]
    assert rows[1].errors["arguments"]
    assert rows[2].errors["name"] == ["Enter a name for the step."]
    assert response.context["form"].errors["name"] == ["Enter a name for the job."]
    assert "many" in text(response), "the form keeps what was typed"
    assert 'aria-invalid="true"' in text(response)
    assert not WorkflowExecution.objects.exists()


@pytest.mark.parametrize(("typed", "message"), [("{oops", "not valid JSON"), ("[1]", "JSON object")])
def test_arguments_that_are_no_json_object(at_alice: Client, typed: str, message: str) -> None:
    response = at_alice.post("/jobs/new", form({"name": "Look", "arguments": typed}, name="x"))
    assert response.status_code == 400
    assert message in str(response.context["steps"].forms[0].errors["arguments"])


def test_no_steps(at_alice: Client) -> None:
    response = at_alice.post("/jobs/new", form(name="Nothing to do"))
    assert response.status_code == 400
    assert response.context["form"].non_field_errors() == ["Add at least one step."]


@pytest.mark.parametrize(
    ("fields", "where", "message"),
    [
        ({"name": "x" * 301}, "name", "At most 300 characters are allowed. You entered 301."),
        ({"mode": "Sale"}, "mode", "There is no Sale. Choose one of: Admin, General, Sales."),
        ({"model_id": "x" * 201}, "model_id", "At most 200 characters are allowed."),
    ],
)
def test_errors_are_plain_words(at_alice: Client, fields: dict[str, str], where: str, message: str) -> None:
    sent = form({"name": "One"}, name="Any") | fields
    assert at_alice.post("/jobs/new", sent).context["form"].errors[where] == [message]


def test_errors_of_steps_are_plain_words(at_alice: Client) -> None:
    search = {"name": "Look", "tool": "DOCUMENT_SEARCH", "arguments": '{"query": "{{steps.One.output}}", "size": 1}'}
    steps = ({"name": "x" * 301}, {"name": "Two", "tool": "SEARCH"})
    rows = at_alice.post("/jobs/new", form(*steps, name="Any")).context["steps"].forms
    assert rows[0].errors["name"] == ["At most 300 characters are allowed. You entered 301."]
    assert rows[1].errors["tool"][0].startswith("There is no SEARCH. Choose one of: APPROVAL, DOCUMENT_EMBED, ")
    (row, *_) = at_alice.post("/jobs/new", form(search, name="Any")).context["steps"].forms
    query, size = row.errors["arguments"]
    assert query.startswith("query: {{steps.One.output}} is not replaced")
    assert size.startswith("size: Unknown key. Known keys: query, ")


def test_too_many_steps_and_no_rows(at_alice: Client) -> None:
    sent = form({"name": "One"}, name="Any") | {"steps-TOTAL_FORMS": "300"}
    page = text(at_alice.post("/jobs/new", sent))
    assert "At most 200 steps are allowed." in page
    page = text(at_alice.post("/jobs/new", {"name": "Any", "mode": "General"}))
    assert "The form arrived incomplete. Reload the page and try again." in page


def test_add_a_step_keeps_what_was_typed(at_alice: Client) -> None:
    sent = form({"name": "First", "arguments": "{unfinished"}, name="Longer", mode="Sales", more="1")
    response = at_alice.post("/jobs/new", sent)
    page = text(response)
    assert response.status_code == 200
    assert page.count("<fieldset") == 6
    assert 'value="Longer"' in page
    assert 'value="First"' in page
    assert "{unfinished" in page
    assert not WorkflowExecution.objects.exists()
    again = at_alice.post("/jobs/new", form({"name": "First"}, rows=6, name="Longer", more="1"))
    assert text(again).count("<fieldset") == 7


@pytest.mark.parametrize("body", [PASTED, {"jobType": "workflow", "payload": PASTED, "priority": "high"}])
def test_paste(at_alice: Client, body: dict[str, Any]) -> None:
    response = at_alice.post("/jobs/new/paste", {"body": json.dumps(body)})
    job = WorkflowExecution.objects.get(name="Pasted")
    assertRedirects(response, f"/jobs/{job.pk}")
    assert job.queue == body.get("priority", "normal")


@pytest.mark.parametrize("body", ["", "{", "[]", '{"steps": []}', '{"jobType": "nonsense", "payload": {}}'])
def test_paste_of_what_is_no_job(at_alice: Client, body: str) -> None:
    response = at_alice.post("/jobs/new/paste", {"body": body})
    assert response.status_code == 400
    assert response.context["paste"].errors["body"]
    assert not WorkflowExecution.objects.exists()


def test_upload_and_index(alice: User, at_alice: Client) -> None:
    files = [SimpleUploadedFile(f"{name}.txt", f"Hello {name}.".encode()) for name in ("a", "b")]
    labels = {"project_id": "project-123", "tags": "important, legal", "mode": "Admin"}
    response = at_alice.post("/jobs/new/upload", {"file": files, **labels})
    job = WorkflowExecution.objects.get(owner=alice)
    assertRedirects(response, f"/jobs/{job.pk}")
    assert (job.job_type, job.mode, job.project_id) == ("bulk-documents", "Admin", "project-123")
    assert job.tags == ["important", "legal"]
    assert {document.filename for document in Document.objects.all()} == {"a.txt", "b.txt"}
    assert job.steps_total == 2


def test_what_cannot_be_stored_stops_no_other(at_alice: Client) -> None:
    files = [SimpleUploadedFile("empty.txt", b""), SimpleUploadedFile("good.txt", b"Hello.")]
    page = text(at_alice.post("/jobs/new/upload", {"file": files, "mode": "General"}, follow=True))
    assert "empty.txt: The file is empty" in page
    assert WorkflowExecution.objects.get().steps_total == 1


def test_upload_of_nothing(at_alice: Client) -> None:
    page = text(at_alice.post("/jobs/new/upload", {"mode": "General"}, follow=True))
    assert "Choose at least one file" in page
    assert not WorkflowExecution.objects.exists()


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ({"project_id": "x" * 201}, "Project: At most 200 characters are allowed. You entered 201."),
        ({"tags": ",".join(map(str, range(101)))}, "Tags: At most 100 tags are allowed."),
        ({"tags": "x" * 101}, "Tags: A tag has at most 100 characters."),
        ({"mode": "Sale"}, "Mode: There is no Sale. Choose one of: Admin, General, Sales."),
    ],
)
def test_upload_with_a_wrong_label_stores_nothing(at_alice: Client, label: dict[str, str], message: str) -> None:
    file = SimpleUploadedFile("a.txt", b"Hello.")
    page = text(at_alice.post("/jobs/new/upload", {"file": file, "mode": "General", **label}, follow=True))
    assert message in page
    assert not Document.objects.exists()


def test_index_selected_documents(alice: User, at_alice: Client) -> None:
    selected, other = upload(alice, "One."), upload(alice, "Two.")
    sent = {"document": [str(selected.uid)], "chunk_size": "200", "overlap": "20"}
    response = at_alice.post("/jobs/new/ingest", sent)
    job = WorkflowExecution.objects.get(owner=alice)
    assertRedirects(response, f"/jobs/{job.pk}")
    (step,) = WorkflowStep.objects.filter(execution=job)
    assert step.arguments == {"documentId": str(selected.uid), "chunkSize": 200, "overlap": 20}
    other.refresh_from_db()
    assert other.step_id is None


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({}, "Select a document first."),
        ({"chunk_size": "many"}, "Chunk size: Enter a whole number."),
        ({"chunk_size": "0"}, "Chunk size: Enter a number greater than or equal to 1."),
        ({"chunk_size": "8001"}, "Chunk size: Enter a number less than or equal to 8000."),
        ({"chunk_size": "10", "overlap": "10"}, "Overlap: The overlap must be less than the chunk size (10)."),
        ({"chunk_size": "10"}, "Overlap: The overlap must be less than the chunk size (10)."),
        ({"document": ["unknown"]}, "There is no document unknown."),
    ],
)
def test_impossible_ingestions(alice: User, at_alice: Client, sent: dict[str, Any], message: str) -> None:
    document = upload(alice, "One.")
    named = {"document": [str(document.uid)]} if sent.get("chunk_size") else {}
    page = text(at_alice.post("/jobs/new/ingest", {**named, **sent}, follow=True))
    assert 'class="notice error"' in page
    assert message in page
    assert not WorkflowExecution.objects.exists()


def test_documents_of_other_users_cannot_be_indexed(alice: User, at_bob: Client) -> None:
    document = upload(alice, "One.")
    at_bob.post("/jobs/new/ingest", {"document": [str(document.uid)]})
    assert not WorkflowExecution.objects.exists()
