"""GET /api/jobs/<id>/failures.csv, and the page's link to the same."""

import csv
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from documents.models import Document
from jobs import failures_csv
from jobs.start import start
from tests.support.documents import upload
from tests.support.html import Response
from tests.support.jobs import claim, complete, fail, start_job
from workflows import engine
from workflows.models import WorkflowExecution, WorkflowStep
from workflows.steps import NewExecution, NewStep

BOM = b"\xef\xbb\xbf"


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


def content(response: Response) -> bytes:
    assert response.streaming
    return b"".join(response.streaming_content)


def table(response: Response) -> list[dict[str, str]]:
    lines = content(response).decode("utf-8-sig").splitlines(keepends=True)
    return list(csv.DictReader(lines))


def ingestion(user: User, *documents: Document) -> WorkflowExecution:
    payload = {"documents": [{"id": document.client_id} for document in documents]}
    return start(user, {"jobType": "bulk-documents", "payload": payload})[0]


def test_it_works(as_alice: Client, alice: User) -> None:
    archive = upload(alice, "1", "papers.zip")
    inside = upload(alice, "2", 'Größe, "neu".txt', client_id="doc2")
    Document.objects.filter(pk=inside.pk).update(parent=archive)
    job = ingestion(alice, archive, inside)
    first, second = sorted(claim(job.pk, 2), key=lambda claim: claim.step_index)
    complete(first, {})
    fail(second, "remove the password,\nand upload it again")
    answer = as_alice.get(f"/api/jobs/{job.pk}/failures.csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="failures-{job.pk}.csv"'
    (row,) = table(answer)
    assert row.pop("finishedAt").endswith("Z")
    assert row == {
        "index": "1",
        "name": 'Größe, "neu".txt',
        "documentId": "doc2",
        "container": "papers.zip",
        "code": "failed",
        "message": "remove the password,\nand upload it again",
        "attempts": "1",
    }


def test_the_page_has_the_same(as_alice: Client, alice: User, client: Client) -> None:
    job = ingestion(alice, upload(alice))
    fail(claim(job.pk)[0])
    client.force_login(alice)
    found = content(client.get(f"/jobs/{job.pk}/failures.csv"))
    assert found == content(as_alice.get(f"/api/jobs/{job.pk}/failures.csv"))
    assert found.startswith(BOM), "without it Excel reads another encoding"
    assert found.endswith(b"\r\n")


@pytest.mark.parametrize("name", ["=1+1.txt", "+1.txt", "-1.txt", '@SUM(A1)".txt'])
def test_no_spreadsheet_takes_a_cell_for_a_formula(as_alice: Client, alice: User, name: str) -> None:
    job = ingestion(alice, upload(alice, filename=name))
    fail(claim(job.pk)[0], '\t=HYPERLINK("http://example.com")')
    (row,) = table(as_alice.get(f"/api/jobs/{job.pk}/failures.csv"))
    assert row["name"] == f"'{name}"
    assert row["message"] == '\'\t=HYPERLINK("http://example.com")'


def test_all_batches(as_alice: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures_csv, "BATCH", 3)
    job = engine.start(NewExecution(alice.pk, "workflow", "w", [NewStep(f"s{n}") for n in range(9)]), actor="a")
    WorkflowStep.objects.filter(execution=job).exclude(index=4).update(status="failed")
    rows = table(as_alice.get(f"/api/jobs/{job}/failures.csv"))
    assert [row["index"] for row in rows] == ["0", "1", "2", "3", "5", "6", "7", "8"]


def test_staff_get_ids_that_they_can_use(as_charlie: Client, alice: User) -> None:
    document = upload(alice, client_id="doc1")
    job = ingestion(alice, document)
    fail(claim(job.pk)[0])
    (row,) = table(as_charlie.get(f"/api/jobs/{job.pk}/failures.csv"))
    assert row["documentId"] == str(document.uid)


def test_no_failure_is_a_head_line(as_alice: Client, alice: User) -> None:
    job = start_job(alice)
    assert content(as_alice.get(f"/api/jobs/{job.pk}/failures.csv")).decode("utf-8-sig").split() == [
        ",".join(failures_csv.COLUMNS)
    ]


def test_refusals(as_bob: Client, as_alice: Client, alice: User, client: Client) -> None:
    address = f"/api/jobs/{start_job(alice).pk}/failures.csv"
    assert as_bob.get(address).status_code == 404
    assert client.get(address).status_code == 401
    assert as_alice.get(f"{address}?limit=1").status_code == 400
    assert as_alice.post(address).status_code == 405
    assert as_alice.head(address).status_code == 200
