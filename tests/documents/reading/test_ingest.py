import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.db import connections

from aiworkstation.audit.models import AuditEvent
from documents.errors import NoText
from documents.models import ChunkTerms, Document, DocumentChunk, DocumentPage, DocumentStatus
from documents.parsers.pictures import ocr
from documents.reading import ingest
from documents.storage import stored_files
from documents.tools import DocumentIngest, IngestArguments
from tests.support.documents import SAMPLES, add, begin, context_for, index, new_step, read, run_child, upload
from workflows.errors import ChildFailed, PermanentError, StepError
from workflows.models import WorkflowStep

TEXT = " ".join(f"Sentence number {n} tells of the harvest." for n in range(200))


def generations(document: Document) -> tuple[set[int], set[int]]:
    """Returns the generations of all pages and of all chunks, current or not."""
    pages = DocumentPage.objects.filter(document=document).values_list("generation", flat=True)
    chunks = DocumentChunk.objects.filter(document=document).values_list("generation", flat=True)
    return set(pages), set(chunks)


def test_it_works(alice: User) -> None:
    reading = begin(alice, upload(alice, TEXT, client_id="doc1"))
    output = read(reading)
    document = Document.objects.get()
    assert output == {"documentId": "doc1", "pages": 1, "words": 1400, "chunks": document.chunk_count}
    assert (document.status, document.error, document.generation) == (DocumentStatus.INDEXED, None, 1)
    assert (document.page_count, document.word_count, document.file_type) == (1, 1400, "txt")
    assert (document.chunk_size, document.overlap) == (500, 100)
    assert document.indexed_at is not None
    event = AuditEvent.objects.get(action="document.indexed")
    assert (event.object, event.execution_id) == (f"document:{document.uid}", reading.context.execution_id)


def test_chunks_are_exact_pieces_of_the_text(alice: User) -> None:
    document = add(alice, TEXT)
    chunks = list(document.current_chunks())
    assert len(chunks) == document.chunk_count > 3
    assert all(chunk.text == TEXT[chunk.start : chunk.end] for chunk in chunks)


@pytest.mark.parametrize("path", sorted(SAMPLES.iterdir()), ids=lambda path: path.name)
def test_every_sample(alice: User, path: Path) -> None:
    document = add(alice, path.read_bytes(), path.name)
    assert document.status == DocumentStatus.INDEXED
    assert document.current_pages().count() == document.page_count
    assert document.current_chunks().count() == document.chunk_count > 0


def test_a_table_keeps_its_rows(alice: User) -> None:
    page = add(alice, "name,amount\nAda,3\n", "t.csv").current_pages().get()
    assert page.rows == [["name", "amount"], ["Ada", "3"]]


def test_signs_of_the_copying_are_text(alice: User) -> None:
    """The text has what COPY uses to separate columns and rows, for NULL, and as an end mark."""
    text = "one\ttwo\n\\N\n\\.\n\\n three"
    document = add(alice, text, "signs.md")
    assert document.current_pages().get().text == document.current_chunks().get().text == text
    row = ["\\N", 'a "b" \\n', "\\."]
    table = add(alice, 'a,b,c\n\\N,"a ""b"" \\n",\\.\n', "signs.csv")
    assert table.current_pages().get().rows == [["a", "b", "c"], row]


@pytest.mark.parametrize("batch", [1, 3, 200])
def test_a_document_is_written_in_batches(alice: User, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """This document needs more batches for its chunks than for its pages."""
    monkeypatch.setattr(ingest, "BATCH", batch)
    document = index(alice, upload(alice, TEXT), chunk_size=200, overlap=0)
    chunks = list(document.current_chunks().order_by("index"))
    assert [chunk.index for chunk in chunks] == list(range(document.chunk_count))
    assert len(chunks) > 3
    assert set(ChunkTerms.objects.values_list("chunk_id", flat=True)) == {chunk.pk for chunk in chunks}
    assert " ".join(chunk.text for chunk in chunks).split() == document.current_pages().get().text.split()


def test_a_short_document_takes_few_round_trips(alice: User, django_assert_max_num_queries: Any) -> None:
    document = upload(alice, TEXT)
    context = context_for(alice)
    with django_assert_max_num_queries(21):  # three of them for the name, two for the quota
        read(ingest.begin(context, str(document.uid), 500, 100))


def test_another_reading_replaces_the_first(alice: User) -> None:
    document = add(alice, TEXT)
    before = document.chunk_count
    document = index(alice, document, chunk_size=100, overlap=10)
    assert document.chunk_count > before
    assert (document.chunk_size, document.overlap) == (100, 10)
    assert generations(document) == ({2}, {2})


def test_nothing_of_a_new_reading_is_seen_before_it_is_whole(alice: User) -> None:
    document = add(alice, TEXT)
    reading = begin(alice, document, chunk_size=100, overlap=10)
    with patch.object(ingest, "swap", autospec=True, side_effect=seen_of(document)), pytest.raises(Seen) as seen:
        read(reading)
    pages, chunks = seen.value.args
    assert pages == 1
    assert chunks == document.chunk_count
    assert generations(document) == ({1}, {1})


class Seen(Exception):
    """Returns how many pages and chunks the current generation has."""


def seen_of(document: Document) -> Any:
    def swap(*arguments: Any) -> None:
        assert generations(document) == ({1, 2}, {1, 2})
        document.refresh_from_db()
        raise Seen(document.current_pages().count(), document.current_chunks().count())

    return swap


def test_the_reading_that_began_last_wins(alice: User) -> None:
    document = upload(alice, TEXT)
    first, second = begin(alice, document, 500), begin(alice, document, 200)
    read(second)
    with pytest.raises(ingest.Overtaken):
        read(first)
    document.refresh_from_db()
    assert (document.generation, document.chunk_size) == (2, 200)
    assert generations(document) == ({2}, {2})


def test_what_a_crash_left_behind_goes_with_the_next_reading(alice: User) -> None:
    document = upload(alice, TEXT)
    crashed = begin(alice, document)
    DocumentPage.objects.create(document=document, generation=crashed.generation, number=1, text="half")
    index(alice, document)
    assert generations(document) == ({2}, {2})


def test_a_step_that_was_cut_off_writes_nothing_more(alice: User) -> None:
    document = upload(alice, TEXT)
    reading = begin(alice, document)
    reading.stopped.set()
    with pytest.raises(ingest.Stopped):
        read(reading)
    document.refresh_from_db()
    assert document.status == DocumentStatus.UPLOADED
    assert generations(document) == (set(), set())


def test_a_deleted_document_is_not_found(alice: User) -> None:
    document = upload(alice, TEXT)
    stored_files.delete(document, alice)
    with pytest.raises(ingest.DocumentGone) as error:
        begin(alice, document)
    assert error.value.code == "not_found"
    assert not error.value.retryable


def test_a_document_that_is_deleted_while_it_is_read_leaves_nothing(alice: User) -> None:
    document = upload(alice, TEXT)
    reading = begin(alice, document)
    WorkflowStep.objects.update(status="completed")
    original = ingest.write

    def write(reading: ingest.Reading, parsed: dict[str, Any]) -> None:
        original(reading, parsed)
        stored_files.delete(Document.objects.get(), alice)

    with patch.object(ingest, "write", autospec=True, side_effect=write), pytest.raises(ingest.DocumentGone):
        read(reading)
    assert not DocumentPage.objects.exists()
    assert not DocumentChunk.objects.exists()


def test_the_document_of_another_user_is_not_found(alice: User, bob: User, charlie: User) -> None:
    document = upload(alice, TEXT, client_id="doc1")
    for id in ("doc1", str(document.uid)):
        with pytest.raises(ingest.DocumentGone):
            ingest.begin(context_for(bob), id, 500, 100)
    assert ingest.begin(context_for(charlie), str(document.uid), 500, 100).document == document


def test_the_document_follows_its_step(alice: User) -> None:
    document = upload(alice)
    reading = begin(alice, document)
    step = WorkflowStep.objects.filter(pk=reading.context.step_id)
    assert Document.objects.with_state().get().state == "queued"
    step.update(status="completed")
    assert Document.objects.with_state().get().state == "uploaded"


def test_a_job_that_is_still_to_come_keeps_the_document(alice: User) -> None:
    document = upload(alice)
    waiting = new_step(alice)
    Document.objects.update(step=waiting)
    begin(alice, document)
    document.refresh_from_db()
    assert document.step_id == waiting.pk


def fail(alice: User, document: Document, error: StepError | None = None) -> None:
    error = error or ChildFailed(NoText().message, code="no_text")
    DocumentIngest().failed(context_for(alice), {"documentId": str(document.uid)}, error)
    document.refresh_from_db()


def test_a_failure_says_why(alice: User) -> None:
    document = upload(alice)
    fail(alice, document)
    assert document.status == DocumentStatus.FAILED
    assert document.error == {"code": "no_text", "message": NoText().message, "retryable": False}
    assert AuditEvent.objects.get(action="document.failed").changes["status"] == "failed"


def test_a_failure_that_is_recorded_twice_is_one_event(alice: User) -> None:
    document = upload(alice)
    fail(alice, document)
    fail(alice, document)
    assert AuditEvent.objects.filter(action="document.failed").count() == 1


def test_a_failed_reindexing_leaves_the_document_as_it_was(alice: User) -> None:
    document = add(alice, TEXT)
    fail(alice, document, PermanentError("It took too long.", code="timed_out"))
    assert document.status == DocumentStatus.INDEXED
    assert document.error == {"code": "timed_out", "message": "It took too long.", "retryable": False}
    assert (document.chunk_size, document.overlap) == (500, 100)
    assert document.current_chunks().count() == document.chunk_count
    document = index(alice, document)
    assert document.error is None


def test_being_overtaken_is_no_failure_of_the_document(alice: User) -> None:
    document = add(alice, TEXT)
    fail(alice, document, ingest.Overtaken())
    assert document.error is None


def test_the_failure_of_a_deleted_document_is_nobodys(alice: User) -> None:
    document = upload(alice)
    stored_files.delete(document, alice)
    DocumentIngest().failed(context_for(alice), {"documentId": str(document.uid)}, PermanentError("x"))
    DocumentIngest().failed(context_for(alice), {}, PermanentError("x"))


@pytest.fixture
def threads(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replaces the pools by one thread, whose connection is closed after the test."""
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(ingest, "_beginners", pool)
        monkeypatch.setattr(ingest, "_writers", pool)
        yield
        pool.submit(connections.close_all).result()


@pytest.mark.usefixtures("threads")
def test_the_whole_coroutine(alice: User) -> None:
    document = upload(alice, TEXT, client_id="doc1")
    told: list[tuple[int | None, str]] = []
    context = context_for(alice, report=lambda *report: told.append(report), run_child=run_child)
    output = asyncio.run(DocumentIngest().run(context, IngestArguments.model_validate({"documentId": "doc1"})))
    document.refresh_from_db()
    assert output == {"documentId": "doc1", "pages": 1, "words": 1400, "chunks": document.chunk_count}
    assert told[-1] == (90, "page 1 of 1")


@pytest.mark.usefixtures("threads")
def test_what_the_child_raises_ends_the_step(alice: User) -> None:
    upload(alice, "   \n", client_id="blank")
    context = context_for(alice, run_child=run_child)
    with pytest.raises(ChildFailed) as error:
        asyncio.run(DocumentIngest().run(context, IngestArguments.model_validate({"documentId": "blank"})))
    assert (error.value.code, error.value.retryable) == ("no_text", False)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ChildFailed("f took longer than 2 s", code="timed_out"), "split it into smaller files"),
        (ChildFailed("f needs more memory", code="too_complex", error_class="builtins.MemoryError"), "split it"),
        (ChildFailed("nested too deeply", code="too_complex", error_class="documents.errors.TooComplex"), "nested"),
    ],
)
def test_a_limit_of_the_child_is_worded_for_the_document(alice: User, error: ChildFailed, words: str) -> None:
    async def stopped(function: str, arguments: dict[str, Any], on_progress: Any, files: Any) -> Any:
        raise error

    upload(alice, "text", client_id="long")
    context = context_for(alice, run_child=stopped)
    with pytest.raises(ChildFailed, match=words) as raised:
        asyncio.run(DocumentIngest().run(context, IngestArguments.model_validate({"documentId": "long"})))
    assert raised.value.code == error.code


def run_ingest(user: User, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, *, is_installed: bool) -> None:
    """Ingests a scan: the first call fails, the one with OCR finds text."""

    async def run_child(
        function: str, arguments: dict[str, Any], on_progress: Any, limits: Any = None, files: Any = None
    ) -> Any:
        calls.append({"ocr": arguments.get("ocr"), "limits": limits})
        if "ocr" not in arguments:
            raise ChildFailed("pictures of text", code="needs_ocr")
        chunks = [[0, 1, 0, 4, "lamp", 1]]
        parsed: dict[str, Any] = {
            "fileType": "pdf",
            "pages": ["lamp"],
            "rows": None,
            "metadata": {},
            "warnings": [],
            "language": "",
            "wordCount": 1,
        }
        Path(arguments["output"]).write_text(json.dumps({**parsed, "chunks": chunks, "members": []}))
        return {}

    monkeypatch.setattr(ocr, "is_installed", lambda: is_installed)
    upload(user, "%PDF-", "scan.pdf", client_id="scan")
    context = context_for(user, run_child=run_child)
    asyncio.run(DocumentIngest().run(context, IngestArguments.model_validate({"documentId": "scan"})))


@pytest.mark.usefixtures("threads")
def test_a_scan_is_read_again_with_limits_of_its_own(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    run_ingest(alice, calls, monkeypatch, is_installed=True)
    assert Document.objects.get().current_pages().get().text == "lamp"
    assert calls[0] == {"ocr": None, "limits": None}
    assert calls[1]["ocr"] == {"pages": 100, "seconds": 540}
    assert (calls[1]["limits"].memory, calls[1]["limits"].seconds) == (2048 << 20, 600)


@pytest.mark.usefixtures("threads")
def test_a_scan_without_ocr(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    with pytest.raises(ChildFailed) as error:
        run_ingest(alice, calls, monkeypatch, is_installed=False)
    assert (error.value.code, len(calls)) == ("needs_ocr", 1)
