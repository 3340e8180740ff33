"""`/jobs/<id>` of a job over documents: a row for each file."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.asserts import assertNumQueries
from pytest_django.fixtures import Settings

from documents.models import Document
from jobs.pages.files_table import FILES_PER_PAGE, FileRow
from jobs.start import start
from tests.support.documents import upload
from tests.support.html import Response, poll_url, swapped, text
from tests.support.jobs import claim, complete, fail
from workflows import engine
from workflows.engine.claims import Claim
from workflows.models import WorkflowExecution, WorkflowStep
from workflows.steps import NewExecution, NewStep

LIVE = "job-live"
READ = {"documentId": "x", "pages": 12, "words": 3456, "chunks": 7}


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


def ingestion(user: User, *documents: Document) -> WorkflowExecution:
    payload = {"documents": [{"id": document.client_id} for document in documents]}
    return start(user, {"jobType": "bulk-documents", "payload": payload})[0]


def claimed(job: WorkflowExecution, number: int) -> list[Claim]:
    """In the order of the files."""
    return sorted(claim(job.pk, number), key=lambda claim: claim.step_index)


def rows(response: Response) -> list[FileRow]:
    return list(response.context["files"].rows)


def names(response: Response) -> list[str]:
    return [row.step.name for row in rows(response)]


def test_it_works(alice: User, at_alice: Client) -> None:
    read, locked = upload(alice, "1", "read.txt"), upload(alice, "2", "locked.pdf")
    job = ingestion(alice, read, locked)
    first, second = claimed(job, 2)
    complete(first, READ)
    fail(second, "remove the password")
    answer = at_alice.get(f"/jobs/{job.pk}")
    page = text(answer)
    done, failed = rows(answer)
    assert (done.step.status, done.pages, done.words, done.chunks) == ("completed", 12, 3456, 7)
    assert (done.step.error, failed.step.status, failed.pages) == (None, "failed", None)
    assert done.step.duration_ms is not None
    assert failed.step.error is not None
    assert failed.step.error["message"] == "remove the password"
    assert f'<a href="/documents/{read.uid}">read.txt</a>' in page
    assert ">3,456</td>" in page
    assert "1 of 2 files" in page
    assert "Retry failed files</button>" in page
    assert f'href="/jobs/{job.pk}/failures.csv"' in page


def test_nothing_failed(alice: User, at_alice: Client) -> None:
    job = ingestion(alice, upload(alice))
    complete(claim(job.pk)[0], READ)
    page = text(at_alice.get(f"/jobs/{job.pk}"))
    assert "failures.csv" not in page
    assert "Retry" not in page


def test_a_tab_shows_the_failed_files(alice: User, at_alice: Client) -> None:
    documents = [upload(alice, str(number), f"{number}.txt") for number in range(4)]
    job = ingestion(alice, *documents)
    claims = claimed(job, 3)
    complete(claims[0], READ)
    fail(claims[2])
    page = at_alice.get(f"/jobs/{job.pk}")
    tabs = {tab.label: tab for tab in page.context["files"].tabs}
    assert {label: tab.count for label, tab in tabs.items()} == {
        "all": 4,
        "failed": 1,
        "running": 1,
        "waiting": 1,
        "completed": 1,
    }
    found = {label: names(at_alice.get(tab.url)) for label, tab in tabs.items()}
    assert found == {
        "all": ["0.txt", "1.txt", "2.txt", "3.txt"],
        "failed": ["2.txt"],
        "running": ["1.txt"],
        "waiting": ["3.txt"],
        "completed": ["0.txt"],
    }
    engine.cancel(job.pk, actor="alice")
    assert names(at_alice.get(f"/jobs/{job.pk}?state=cancelled")) == ["1.txt", "3.txt"]


def test_progress_within_a_file_shows_live(alice: User, at_alice: Client) -> None:
    job = ingestion(alice, upload(alice, "1", "book.pdf"), upload(alice, "2", "note.txt"))
    (step,) = claim(job.pk)
    url = poll_url(at_alice.get(f"/jobs/{job.pk}"), LIVE)
    assert at_alice.get(url).status_code == 204
    WorkflowStep.objects.filter(pk=step.step_id).update(progress=27, message="page 120 of 400")
    answer = at_alice.get(url)
    assert swapped(answer) == [f"job-{job.pk}-state", "file-0", LIVE]
    assert "<template><tr" in text(answer), "a row by itself is no HTML"
    assert "page 120 of 400" in text(answer)
    complete(step, READ)
    answer = at_alice.get(poll_url(answer, LIVE))
    assert {"job-tabs", "file-0"} <= set(swapped(answer))
    assert "job-files" not in swapped(answer)
    assert "page 120" not in text(answer)


def test_a_poll_is_few_queries(alice: User, at_alice: Client) -> None:
    job = ingestion(alice, *[upload(alice, str(number)) for number in range(12)])
    claim(job.pk, 5)
    url = poll_url(at_alice.get(f"/jobs/{job.pk}"), LIVE)
    with assertNumQueries(8):  # session, user, job, figures, message, number of steps, steps, documents
        assert at_alice.get(url).status_code == 204


def test_a_file_from_an_archive_names_the_archive(alice: User, at_alice: Client) -> None:
    archive, member = upload(alice, "1", "papers.zip"), upload(alice, "2", "inside.txt")
    Document.objects.filter(pk=member.pk).update(parent=archive)
    job = ingestion(alice, archive, member)
    assert [row.container for row in rows(at_alice.get(f"/jobs/{job.pk}"))] == ["", "papers.zip"]


def test_warnings(alice: User, at_alice: Client) -> None:
    document = upload(alice, "1", "page.pdf")
    Document.objects.filter(pk=document.pk).update(warnings=["It was read as a web page.", "b", "c", "d"])
    job = ingestion(alice, document)
    assert rows(at_alice.get(f"/jobs/{job.pk}"))[0].warnings == (), "they are of the reading before"
    complete(claim(job.pk)[0], READ)
    page = text(at_alice.get(f"/jobs/{job.pk}"))
    assert "It was read as a web page." in page
    assert "The document&#x27;s page has more warnings." in page


def test_a_deleted_document(alice: User, at_alice: Client) -> None:
    document = upload(alice, "1", "gone.txt")
    job = ingestion(alice, document)
    complete(claim(job.pk)[0], READ)
    document.delete()
    page = at_alice.get(f"/jobs/{job.pk}")
    assert [(row.step.name, row.pages) for row in rows(page)] == [("gone.txt", 12)]
    assert f'href="/documents/{document.uid}"' not in text(page)


def test_ten_thousand_files(alice: User, at_alice: Client) -> None:
    steps = [NewStep(f"{number}.txt", tool="DOCUMENT_INGEST") for number in range(10_000)]
    job = engine.start(NewExecution(alice.pk, "bulk-documents", "Large", steps, tolerates_failures=True), actor="a")
    first = at_alice.get(f"/jobs/{job}")
    assert len(rows(first)) == FILES_PER_PAGE
    assert "Files 1 to 100 of 10,000" in text(first)
    assert first.context["files"].urls == {
        "next": f"/jobs/{job}?page=2#files",
        "last": f"/jobs/{job}?page=100#files",
    }
    last = at_alice.get(f"/jobs/{job}?page=100")
    assert names(last)[-1] == "9999.txt"
    assert list(last.context["files"].urls) == ["first", "previous"]
    assert names(at_alice.get(f"/jobs/{job}?q=4321")) == ["4321.txt"]
    assert "No file matches." in text(at_alice.get(f"/jobs/{job}?q=no-such-file"))
    for odd in ("page=x", "page=-3", "page=99999", "state=nonsense", "q=%00"):
        assert at_alice.get(f"/jobs/{job}?{odd}").status_code == 200


def test_other_users_are_refused(alice: User, at_bob: Client, at_charlie: Client) -> None:
    job = ingestion(alice, upload(alice, "1", "mine.txt"))
    assert at_bob.get(f"/jobs/{job.pk}").status_code == 404
    assert at_bob.get(f"/jobs/{job.pk}/failures.csv").status_code == 404
    assert "mine.txt" in text(at_charlie.get(f"/jobs/{job.pk}"))


def test_retry(alice: User, at_alice: Client) -> None:
    job = ingestion(alice, upload(alice, "1", "good.txt"), upload(alice, "2", "bad.txt"))
    first, second = claimed(job, 2)
    complete(first, READ)
    fail(second)
    at_alice.post(f"/jobs/{job.pk}/retry")
    assert [row.step.status for row in rows(at_alice.get(f"/jobs/{job.pk}"))] == ["completed", "ready"]
