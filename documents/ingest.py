"""Reading a document into the index.

1. `begin` finds the document, ties it to the step, and gives the reading a generation number of its own.
2. A child process turns the file into pages and chunks: no transaction is open meanwhile.
3. `write` puts them beside those of the present generation, in small transactions. Nobody sees them yet.
4. `swap` makes them the present generation, and deletes the earlier ones, in one transaction under the
   document's lock.
5. Where EMBEDDING_MODEL is set, the new chunks get vectors. Whether they do or not, the document is indexed.

Readings of one document may overlap. The one that began last wins, whichever ends first: it has the newest
settings.
A reading that fails leaves the index as it was.
"""

import asyncio
import json
import logging
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from aiworkstation.audit.record import record
from documents import members
from documents.embedding import activate_if_whole, configured_model, embed_document
from documents.errors import NeedsOcr
from documents.indexing import write_terms
from documents.lookup import find_documents
from documents.models import ChunkTerms, ChunkVector, Document, DocumentChunk, DocumentPage, DocumentStatus
from documents.parsers import ocr
from documents.terms import words
from workflows.errors import ChildFailed, PermanentError, StepError
from workflows.models import FINISHED_STEP, StepStatus
from workflows.sandbox import Limits
from workflows.threads import in_thread
from workflows.tools import StepContext

logger = logging.getLogger(__name__)

READ = "documents.pipeline:read_in_child"
BATCH = 200
READING_SHARE = 90  # per cent of a step's progress; the rest is writing the index

OCR_SHARE = 0.9
"""Of its time; what is left is for what comes after."""

_ocr_turn = asyncio.Semaphore(1)
# Few threads, so that a bulk job leaves connections to everybody else. Those that begin never wait for those that
# write, and a document that waits to be written keeps its slot: what has been read does not pile up.
_beginners = ThreadPoolExecutor(max_workers=2, thread_name_prefix="begin")
_writers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="write")
# They wait for the provider.
_embedders = ThreadPoolExecutor(max_workers=4, thread_name_prefix="embed")
_Row = TypeVar("_Row", bound=models.Model)


class DocumentGone(PermanentError):
    """There is no such document, or it was deleted meanwhile."""

    code = "not_found"


class Stopped(PermanentError):
    """The step was cut off while its document was being written to the index."""

    code = "stopped"


class Overtaken(PermanentError):
    """A job that began later has indexed the document meanwhile: its result stands."""

    code = "overtaken"


@dataclass
class Reading:
    """One reading of a document. `stopped` is set when the step is cut off: then nothing more is written."""

    context: StepContext
    document: Document
    generation: int
    chunk_size: int
    overlap: int
    depth: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def report(self, done: int, total: int) -> None:
        """Progress of the child, in pages."""
        share = READING_SHARE * done // max(total, 1)
        self.context.report(share, f"page {done} of {total}")


async def ingest(
    context: StepContext, document_id: str, chunk_size: int, overlap: int, *, tool: str = "DOCUMENT_INGEST"
) -> dict[str, Any]:
    """Reads and indexes a document, and returns the tool's output. Documents inside it get steps of that tool.

    Raises DocumentGone, Overtaken, and what `context.run_child` raises.
    """
    reading = await in_thread(_beginners, begin, context, document_id, chunk_size, overlap)
    with tempfile.TemporaryDirectory(prefix="reading-") as folder:
        output = Path(folder) / "document.json"
        unpacked = Path(folder) / "members"
        unpacked.mkdir()
        await _read_in_child(reading, output, unpacked)
        try:
            result: dict[str, Any] = await in_thread(_writers, index, reading, output, unpacked, tool)
            await in_thread(_embedders, _embed, reading)
        except asyncio.CancelledError:
            reading.stopped.set()
            raise
    return result


async def _read_in_child(reading: Reading, output: Path, unpacked: Path) -> None:
    """Text first, which takes milliseconds; then, where there are pictures of text, once more with OCR."""
    run_child = reading.context.run_child
    assert run_child is not None
    arguments: dict[str, Any] = {
        "path": str(reading.document.path),
        "filename": reading.document.filename,
        "chunkSize": reading.chunk_size,
        "overlap": reading.overlap,
        "output": str(output),
        "members": str(unpacked) if reading.depth < members.MAX_DEPTH else None,
    }
    try:
        summary = await run_child(READ, arguments, on_progress=reading.report)
    except ChildFailed as error:
        if error.code != NeedsOcr.code or not _may_recognize():
            raise
        summary = {"needsOcr": 1}
    if summary["needsOcr"] and _may_recognize():
        arguments["ocr"] = {
            "pages": settings.CONFIG.ocr_pages,
            "seconds": OCR_SHARE * settings.CONFIG.ocr_seconds,
        }
        limits = Limits(settings.CONFIG.ocr_memory_mb << 20, settings.CONFIG.ocr_seconds)
        # One at a time: each takes as much memory as everything else together.
        async with _ocr_turn:
            try:
                await run_child(READ, arguments, on_progress=reading.report, limits=limits)
            except ChildFailed:
                if not output.exists():
                    raise  # otherwise the text that was there is better than nothing


def _may_recognize() -> bool:
    return settings.CONFIG.ocr_pages > 0 and ocr.is_installed()


def begin(context: StepContext, document_id: str, chunk_size: int, overlap: int) -> Reading:
    """Raises DocumentGone."""
    found = find_for_step(context, document_id)
    with transaction.atomic():
        # The lock: two readings that begin together need different numbers, and a deletion is waited for.
        document = _locked(found.uid)
        document.latest_generation += 1
        if _may_take(context, document):
            document.step_id = context.step_id
        document.changed_at = timezone.now()
        document.save(update_fields=["latest_generation", "step", "changed_at"])
    depth = members.depth_of(found)
    return Reading(context, found, document.latest_generation, chunk_size, overlap, depth)


def _may_take(context: StepContext, document: Document) -> bool:
    """A job that is still to come keeps the document."""
    step = document.step
    return step is None or step.status in (*FINISHED_STEP, StepStatus.RUNNING) or step.pk == context.step_id


def find_for_step(context: StepContext, document_id: str) -> Document:
    """What the owner of the step may see. Raises DocumentGone."""
    owner = User.objects.filter(pk=context.owner_id).first()
    document = find_documents(owner, [document_id]).get(document_id) if owner else None
    if document is None:
        raise DocumentGone(f"There is no document {document_id}, or it was deleted meanwhile.")
    return document


def index(
    reading: Reading, output: Path, unpacked: Path | None = None, tool: str = "DOCUMENT_INGEST"
) -> dict[str, Any]:
    """Writes what the child has read, and makes it the present generation. Documents inside are left to other steps."""
    reading.context.leave_slot()
    parsed = json.loads(output.read_text(encoding="utf-8"))
    inside = members.store_members(reading.document, parsed, unpacked) if unpacked else []
    try:
        write(reading, parsed)
        swap(reading, parsed)
    except BaseException:
        _clear(reading)
        raise
    chunks = {"chunkSize": reading.chunk_size, "overlap": reading.overlap}
    members.add_steps(reading.context, tool, inside, chunks)
    return {
        "documentId": reading.document.id_for(reading.document.owner),
        "pages": len(parsed["pages"]),
        "words": parsed["wordCount"],
        "chunks": len(parsed["chunks"]),
    }


def write(reading: Reading, parsed: dict[str, Any]) -> None:
    """Stores pages and chunks under the reading's generation, which nobody sees yet. Raises DocumentGone."""
    tables = parsed["rows"] or [None] * len(parsed["pages"])
    pages = zip(parsed["pages"], tables, strict=True)
    try:
        _insert(reading, (_page(reading, number, *page) for number, page in enumerate(pages, start=1)))
        _insert_chunks(reading, [_chunk(reading, chunk) for chunk in parsed["chunks"]], parsed["language"])
    except IntegrityError as error:
        raise DocumentGone() from error


def _embed(reading: Reading) -> None:
    """As far as the provider answers now: what is left over is a job's, later."""
    model = configured_model()
    if model is None:
        return

    def report(done: int, total: int) -> None:
        share = READING_SHARE + (100 - READING_SHARE) * done // max(total, 1)
        reading.context.report(share, f"vector {done} of {total}")

    try:
        embed_document(reading.document.pk, model, report, reading.stopped.is_set)
        activate_if_whole(model)
    except StepError as error:
        logger.warning("%s is found by full text alone for now: %s", reading.document.pk, error.message)


def _page(reading: Reading, number: int, text: str, rows: list[list[str]] | None) -> DocumentPage:
    return DocumentPage(document=reading.document, generation=reading.generation, number=number, text=text, rows=rows)


def _chunk(reading: Reading, chunk: list[Any]) -> DocumentChunk:
    index, page, start, end, text, tokens = chunk
    return DocumentChunk(
        document=reading.document,
        generation=reading.generation,
        index=index,
        page=page,
        start=start,
        end=end,
        tokens=tokens,
        text=text,
    )


def _insert_chunks(reading: Reading, chunks: list[DocumentChunk], language: str) -> None:
    document = reading.document
    for start in range(0, len(chunks), BATCH):
        _stop_if_told(reading)
        # Together: what is stored is found.
        with transaction.atomic():
            rows = DocumentChunk.objects.bulk_create(chunks[start : start + BATCH])
            lexed = [(row.pk, words(row.text)) for row in rows]
            write_terms(document.pk, document.owner_id, reading.generation, language, lexed)


def _insert(reading: Reading, rows: Iterable[_Row]) -> None:
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH)):
        _stop_if_told(reading)
        type(batch[0])._default_manager.bulk_create(batch)


def _stop_if_told(reading: Reading) -> None:
    if reading.stopped.is_set():
        raise Stopped()


def swap(reading: Reading, parsed: dict[str, Any]) -> None:
    """Makes the reading's generation the present one. Raises DocumentGone and Overtaken."""
    with transaction.atomic():
        # The lock: of two readings that end together, each must see what the other left.
        document = _locked(reading.document.uid)
        if document.generation > reading.generation:
            raise Overtaken()
        _stop_if_told(reading)
        earlier = {"document": document, "generation__lt": reading.generation}
        DocumentPage.objects.filter(**earlier).delete()
        DocumentChunk.objects.filter(**earlier).delete()
        ChunkTerms.objects.filter(**earlier).delete()
        ChunkVector.objects.filter(**earlier).delete()
        _describe(document, reading, parsed)
        document.save()
        record(
            reading.context.owner,
            "document.indexed",
            f"document:{document.uid}",
            {
                "status": DocumentStatus.INDEXED,
                "pages": document.page_count,
                "chunks": document.chunk_count,
                "chunkSize": document.chunk_size,
                "overlap": document.overlap,
            },
            execution_id=reading.context.execution_id,
        )


def _describe(document: Document, reading: Reading, parsed: dict[str, Any]) -> None:
    document.status = DocumentStatus.INDEXED
    document.error = None
    document.generation = reading.generation
    document.file_type = parsed["fileType"]
    document.warnings = parsed["warnings"]
    document.metadata = parsed["metadata"]
    document.language = parsed["language"]
    document.page_count = len(parsed["pages"])
    document.word_count = parsed["wordCount"]
    document.chunk_count = len(parsed["chunks"])
    document.chunk_size = reading.chunk_size
    document.overlap = reading.overlap
    document.indexed_at = document.changed_at = timezone.now()


def _clear(reading: Reading) -> None:
    """Takes back what the reading wrote. What a crash leaves goes at the next swap."""
    written = {"document_id": reading.document.uid, "generation": reading.generation}
    DocumentPage.objects.filter(**written).delete()
    DocumentChunk.objects.filter(**written).delete()
    ChunkTerms.objects.filter(**written).delete()


def record_failure(context: StepContext, document_id: str, error: StepError) -> None:
    """The step's attempts are over: its document says why. One that was indexed before stays as it was."""
    try:
        found = find_for_step(context, document_id)
    except DocumentGone:
        return
    told = {"code": error.code, "message": error.message, "retryable": error.retryable}
    with transaction.atomic():
        document = _locked(found.uid)
        if isinstance(error, Overtaken) or document.error == told:
            return
        document.status = DocumentStatus.INDEXED if document.generation else DocumentStatus.FAILED
        document.error = told
        document.changed_at = timezone.now()
        document.save(update_fields=["status", "error", "changed_at"])
        record(
            context.owner,
            "document.failed",
            f"document:{document.uid}",
            {"status": document.status, "error": told},
            execution_id=context.execution_id,
        )


def _locked(uid: UUID) -> Document:
    """The document, locked until the end of the transaction. Raises DocumentGone."""
    rows = Document.objects.select_for_update(of=("self",)).select_related("step")
    document = rows.filter(pk=uid).first()
    if document is None:
        raise DocumentGone()
    return document
