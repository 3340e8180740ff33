"""A worker that does not see the uploads leaves the documents to a worker that does."""

import asyncio
import json
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from documents.models import Document, path_of
from documents.reading.ingest import FileNotHere, _read_in_child, begin
from documents.storage.shared_uploads import REASON, missing_reason
from tests.support.documents import context_for, new_step, run_child, upload
from tests.support.processes import manage, wait_for
from workflows import engine
from workflows.engine.consistency import check
from workflows.engine.why_waiting import waiting_for
from workflows.models import Worker, WorkflowExecution, WorkflowStep
from workflows.steps import NewExecution, NewStep

FILES = "the file of a document is in the uploads of this machine"


def lose(document: Document) -> None:
    path_of(document.sha256).unlink()


def test_most_of_the_newest_files_must_be_here(alice: User) -> None:
    assert missing_reason() == ""
    documents = [upload(alice, f"text {n}", f"{n}.txt") for n in range(12)]
    assert missing_reason() == ""
    for document in documents[-5:]:
        lose(document)
    assert missing_reason() == ""
    lose(documents[-6])
    assert missing_reason() == REASON
    assert str(path_of("")) not in REASON


def test_check_engine_names_documents_whose_files_are_not_here(alice: User) -> None:
    documents = [upload(alice, f"text {n}", f"{n}.txt") for n in range(22)]
    lose(documents[3])
    assert [found.object for found in check() if found.rule == FILES] == [f"3.txt ({documents[3].pk})"]
    for document in documents[:3] + documents[4:]:
        lose(document)
    assert [found.object for found in check() if found.rule == FILES][-1] == "2 more documents"


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_file_that_is_not_here_is_a_wait_without_a_path(alice: User, when: str) -> None:
    document = upload(alice)
    if when == "before":
        lose(document)
    reading = begin(context_for(alice, new_step(alice), run_child=run_child), str(document.pk), 500, 100)

    async def run() -> None:
        if when == "meanwhile":
            lose(document)
        await _read_in_child(reading, Path("/nowhere/out"), Path("/nowhere/in"))

    with pytest.raises(FileNotHere) as raised:
        asyncio.run(run())
    assert (raised.value.code, raised.value.delay) == ("file_missing", 5.0)
    assert "/" not in raised.value.message


@pytest.mark.django_db(transaction=True)
def test_the_step_is_left_to_a_worker_that_has_the_file(alice: User, tmp_path: Path) -> None:
    log = tmp_path / "log"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with manage("work", log=log, WORKERS="1", DATA_DIR=str(elsewhere)):
        wait_for(Worker.objects.exists, what="the worker that does not see the files")
        document = upload(alice)
        step = NewStep("read", tool="DOCUMENT_INGEST", arguments={"documentId": str(document.pk)})
        new = NewExecution(alice.pk, "bulk-documents", "test", [step], tolerates_failures=True)
        job = WorkflowExecution.objects.get(pk=engine.start(new, actor="alice"))
        wait_for(lambda: Worker.objects.filter(lacks__has_key="DOCUMENT_INGEST").exists(), what="its complaint")
        wait_for(lambda: "leaves steps of DOCUMENT_INGEST to other workers" in log.read_text(), what="its words")
        output = StringIO()
        with pytest.raises(SystemExit):
            call_command("check_engine", stdout=output)
        assert REASON in output.getvalue()
        # It may have tried once before it checked: then the step waits some seconds.
        job.refresh_from_db()
        step_row = WorkflowStep.objects.get(execution=job)
        assert (step_row.status in ("ready", "waiting"), job.is_finished) == (True, False)
        assert str(tmp_path) not in json.dumps(step_row.error)

        def sentence() -> str:
            return waiting_for([WorkflowExecution.objects.get(pk=job.pk)]).get(job.pk, "")

        wait_for(lambda: REASON in sentence(), what="the reason why it waits")
        with manage("work", log=tmp_path / "other", WORKERS="1", DATA_DIR=str(tmp_path)):
            wait_for(lambda: WorkflowExecution.objects.get(pk=job.pk).is_finished, what="the other worker")
    job.refresh_from_db()
    document.refresh_from_db()
    assert (job.status, document.status) == ("completed", "indexed")
    assert WorkflowStep.objects.get(execution=job).attempt == 1
