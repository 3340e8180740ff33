"""Starting jobs over documents from a page, without JavaScript."""

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


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


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
