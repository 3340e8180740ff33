"""Archives and mails: their members become separate documents, read by steps of the same job."""

from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from documents.models import Document
from documents.reading import archive_members, ingest
from documents.storage import stored_files
from tests.support.builder import zip_bytes
from tests.support.documents import SAMPLES, context_for, read, upload
from workflows import engine
from workflows.models import WorkflowExecution, WorkflowStep
from workflows.steps import NewExecution, NewStep

MAIL = (SAMPLES / "delivery.eml").read_bytes()
PARTS: dict[str, str | bytes] = {"a.txt": "The lamp is lit.", "more/b.csv": "name,amount\nlamp,3\n"}


def job(user: User, document: Document, *, tolerates_failures: bool = True) -> ingest.Reading:
    """Starts a job for the document and marks its step as running."""
    arguments = {"documentId": str(document.uid), "chunkSize": 500, "overlap": 100}
    step = NewStep(document.filename, tool="DOCUMENT_INGEST", arguments=arguments)
    new = NewExecution(user.pk, "bulk-documents", "test", [step], tolerates_failures=tolerates_failures)
    execution = engine.start(new, actor=user.username)
    Document.objects.attach(execution)
    return running(user, WorkflowStep.objects.get(execution_id=execution))


def running(user: User, step: WorkflowStep) -> ingest.Reading:
    token = uuid4()
    lane = WorkflowStep.objects.filter(execution=step.execution, status="running").count() + 1
    WorkflowStep.objects.filter(pk=step.pk).update(
        status="running", token=token, lane=lane, lease_until="2099-01-01T00:00Z", worker=uuid4()
    )
    assert step.arguments
    context = context_for(user, step, claim_token=token)
    return ingest.begin(context, step.arguments["documentId"], 500, 100)


def steps(reading: ingest.Reading) -> list[WorkflowStep]:
    return list(WorkflowStep.objects.filter(execution_id=reading.context.execution_id).order_by("index"))


def test_it_works(alice: User) -> None:
    archive = upload(alice, zip_bytes(PARTS), "papers.zip", project_id="p", tags=["t"], mode="Sales")
    reading = job(alice, archive)
    output = read(reading)
    assert (output["pages"], output["chunks"]) == (1, 1)
    inside = list(Document.objects.filter(parent=archive).order_by("filename"))
    assert [(member.filename, member.file_type) for member in inside] == [("a.txt", "txt"), ("b.csv", "csv")]
    assert {(each.owner, each.project_id, each.mode, tuple(each.tags)) for each in inside} == {
        (alice, "p", "Sales", ("t",))
    }
    added = steps(reading)[1:]
    assert {step.arguments["documentId"] for step in added if step.arguments} == {str(each.uid) for each in inside}
    assert {step.tool for step in added} == {"DOCUMENT_INGEST"}
    assert {each.step for each in inside} == set(added)
    assert {each.state for each in Document.objects.with_state().filter(parent=archive)} == {"queued"}
    assert WorkflowExecution.objects.get().steps_total == 3


def test_the_added_steps_read_the_members(alice: User) -> None:
    reading = job(alice, upload(alice, MAIL, "delivery.eml"))
    read(reading)
    for step in steps(reading)[1:]:
        read(running(alice, step))
    table = Document.objects.get(filename="packing-list.csv")
    assert (table.status, table.file_type, table.page_count) == ("indexed", "csv", 1)
    mail = Document.objects.get(filename="Your order 2025-883.eml")
    assert "forty brass lanterns" in mail.current_pages().get().text


def test_a_second_reading_adds_nothing(alice: User) -> None:
    archive = upload(alice, zip_bytes(PARTS), "papers.zip")
    reading = job(alice, archive)
    read(reading)
    WorkflowStep.objects.filter(pk=reading.context.step_id).update(status="ready", token=None, lane=None)
    read(running(alice, steps(reading)[0]))
    assert Document.objects.filter(parent=archive).count() == 2
    assert len(steps(reading)) == 3


def test_a_later_job_reads_the_members_again(alice: User) -> None:
    archive = upload(alice, zip_bytes(PARTS), "papers.zip")
    read(job(alice, archive))
    later = job(alice, archive)
    read(later)
    assert len(steps(later)) == 3
    assert Document.objects.count() == 3


def test_the_same_bytes_are_stored_once(alice: User) -> None:
    original = upload(alice, PARTS["a.txt"], "mine.txt")
    read(job(alice, upload(alice, zip_bytes(PARTS), "papers.zip")))
    assert Document.objects.get(filename="a.txt").duplicate_of == original


def test_a_workflow_stores_them_and_does_not_depend_on_them(alice: User) -> None:
    reading = job(alice, upload(alice, zip_bytes(PARTS), "papers.zip"), tolerates_failures=False)
    read(reading)
    assert len(steps(reading)) == 1
    assert {each.state for each in Document.objects.with_state().exclude(parent=None)} == {"uploaded"}


def nested(levels: int) -> bytes:
    content: str | bytes = "The innermost lamp."
    name = "innermost.txt"
    for level in range(levels, 0, -1):
        content, name = zip_bytes({name: content}), f"level{level}.zip"
    assert isinstance(content, bytes)
    return content


def test_nesting_ends_somewhere(alice: User) -> None:
    reading = job(alice, upload(alice, nested(6), "level1.zip"))
    read(reading)
    while ready := [step for step in steps(reading) if step.status == "ready"]:
        read(running(alice, ready[0]))
    names = set(Document.objects.values_list("filename", flat=True))
    assert names == {"level1.zip", "level2.zip", "level3.zip", "level4.zip"}
    assert Document.objects.get(filename="level4.zip").warnings == [
        "What is inside is nested too deeply: it was not unpacked."
    ]


def test_a_family_has_a_limit(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_members, "MAX_FAMILY", 1)
    archive = upload(alice, zip_bytes(PARTS), "papers.zip")
    read(job(alice, archive))
    archive.refresh_from_db()
    assert archive.warnings == [
        "1 documents inside were not stored. More than 1 documents came out of one: split the file."
    ]


def test_the_quota_counts_them(alice: User, settings: Any) -> None:
    archive = upload(alice, zip_bytes({"a.txt": "x" * 600_000, "b.txt": "y" * 600_000}), "papers.zip")
    settings.CONFIG = settings.CONFIG.model_copy(update={"user_quota_mb": 1})
    read(job(alice, archive))
    archive.refresh_from_db()
    assert archive.status == "indexed"
    assert [each.filename for each in archive.members.all()] == ["a.txt"]
    assert "1 documents inside were not stored. Your documents, their texts" in archive.warnings[0]
    assert "of 1 MB" in archive.warnings[0]


def test_a_parent_that_is_deleted_meanwhile(alice: User) -> None:
    archive = upload(alice, zip_bytes(PARTS), "papers.zip")
    reading = job(alice, archive)
    WorkflowStep.objects.update(status="completed")
    original = archive_members.store_members

    def store(*arguments: Any) -> Any:
        stored_files.delete(Document.objects.get(), alice)
        return original(*arguments)

    with (
        patch.object(archive_members, "store_members", autospec=True, side_effect=store),
        pytest.raises(ingest.DocumentGone),
    ):
        read(reading)
    assert not Document.objects.exists()


def test_members_go_with_their_archive(alice: User) -> None:
    archive = upload(alice, zip_bytes(PARTS), "papers.zip")
    read(job(alice, archive))
    WorkflowStep.objects.update(status="completed")
    stored_files.delete(archive, alice)
    assert not Document.objects.exists()


def test_the_api_names_the_parent(alice: User, as_alice: Client) -> None:
    archive = upload(alice, zip_bytes(PARTS), "papers.zip", client_id="papers")
    read(job(alice, archive))
    member = Document.objects.get(filename="a.txt")
    assert as_alice.get(f"/api/documents/{member.uid}").json()["parentId"] == "papers"
