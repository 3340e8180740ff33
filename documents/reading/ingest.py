"""Reading a document into the index.

1. `begin` finds the document, links it to the step, and gives the reading its own generation number.
2. A child process turns the file into pages and chunks. No transaction is open meanwhile.
3. `write` stores them beside those of the current generation, in small transactions. Nobody sees them yet.
4. `swap` makes them the current generation and deletes the earlier ones, in one transaction that locks the document.
5. With EMBEDDING_MODEL, the new chunks get vectors. If that fails, the document is still indexed.

Readings of one document may overlap. The one that began last wins, whichever ends first, because it has the newest
settings. A reading that fails leaves the index as it was.
"""

import asyncio
import json
import logging
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from aiworkstation.access import quota
from aiworkstation.audit.record import record
from documents.errors import NeedsOcr
from documents.lookup import find_documents
from documents.models import Document, DocumentStatus
from documents.parsers.pictures import ocr
from documents.reading import archive_members
from documents.reading.index_writer import delete_generation, delete_generations_before, write_chunks, write_pages
from documents.search import activate_if_complete, configured_model, embed_document, write_names
from documents.storage.shared_uploads import is_here
from workflows.errors import ChildFailed, PermanentError, StepError, TryLater
from workflows.models import FINISHED_STEP, StepStatus
from workflows.tools import StepContext
from workflows.worker.sandbox.confinement import ChildFiles
from workflows.worker.sandbox.limits import ChildLimits
from workflows.worker.threads import in_thread

logger = logging.getLogger(__name__)

READ = "documents.reading.pipeline:read_in_child"
BATCH = 200
_LIMITS = {
    "timed_out": "Reading the document took too long: split it into smaller files.",
    "too_complex": "Reading the document takes more memory than it may use: split it into smaller files.",
}
_NO_EXCEPTION = {"", "builtins.MemoryError"}
"""Errors that come from a limit. A parser's own errors have better texts."""
READING_SHARE = 90
"""Percent of a step's progress. The rest is for writing the index and the vectors."""
NOT_HERE_SECONDS = 5.0
"""The pause before a step looks for its file again, on this worker or another one."""
OCR_SHARE = 0.9
"""The share of OCR_SECONDS for recognizing pages. The rest is for chunking."""

# The increment locks the row, so two readings that begin together get different numbers.
# A document that is already linked to a step of a later job stays linked to it.
_BEGIN = """
UPDATE documents d SET
  latest_generation = latest_generation + 1, changed_at = clock_timestamp(),
  step_id = CASE WHEN EXISTS (
    SELECT FROM workflow_steps s WHERE s.id = d.step_id AND s.id <> %(step)s AND s.status <> ALL (%(over)s)
  ) THEN d.step_id ELSE %(step)s END
WHERE uid = %(document)s
RETURNING latest_generation
"""

_ocr_lock = asyncio.Semaphore(1)
# Few threads, so that a bulk job does not take the database connections of everything else. `begin` has its own, so
# it never waits for writing. A document that waits to be written keeps its slot, so finished readings do not pile up.
_beginners = ThreadPoolExecutor(max_workers=2, thread_name_prefix="begin")
_writers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="write")
# These threads mostly wait for the provider.
_embedders = ThreadPoolExecutor(max_workers=4, thread_name_prefix="embed")


class DocumentGone(PermanentError):
    """There is no such document, or it was deleted meanwhile."""

    code = "not_found"


class FileNotHere(TryLater):
    """The uploaded file is not on this worker's machine. The step waits for a worker that has it."""

    code = "file_missing"


class NoRoom(PermanentError):
    """The document's text has no room in the owner's quota. The file and its earlier index are kept."""

    code = "over_quota"


class Stopped(PermanentError):
    """The step was stopped while its document was being written to the index."""

    code = "stopped"


class Overtaken(PermanentError):
    """A job that began later has already indexed the document: its result is kept."""

    code = "overtaken"


@dataclass
class Reading:
    """One reading of a document. `stopped` is set when the step is stopped: then nothing more is written."""

    context: StepContext
    document: Document
    generation: int
    chunk_size: int
    overlap: int
    depth: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def report(self, done: int, total: int) -> None:
        """Reports the child's progress, in pages."""
        share = READING_SHARE * done // max(total, 1)
        self.context.report(share, f"page {done} of {total}")


async def ingest(
    context: StepContext, document_id: str, chunk_size: int, overlap: int, *, tool: str = "DOCUMENT_INGEST"
) -> dict[str, Any]:
    """Reads and indexes a document. Returns the tool's output. Documents inside it get steps of the same tool.

    Raises DocumentGone, Overtaken, and what `context.run_child` raises.
    """
    # Before the file is read: the number of the generation decides which of several readings wins.
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
            # The thread cannot be interrupted. It looks at this before each batch, and before the swap ends.
            reading.stopped.set()
            raise
    return result


async def _read_in_child(reading: Reading, output: Path, unpacked: Path) -> None:
    """Reads the text, which takes milliseconds. If pages are pictures of text, reads the file once more with OCR."""
    run_child = reading.context.run_child
    assert run_child is not None
    if not is_here(reading.document.sha256):
        raise FileNotHere(delay=NOT_HERE_SECONDS)
    source = str(reading.document.path)
    files = ChildFiles(reads=(source,), folder=str(output.parent))
    arguments: dict[str, Any] = {
        "path": source,
        "filename": reading.document.filename,
        "chunkSize": reading.chunk_size,
        "overlap": reading.overlap,
        "output": str(output),
        "members": str(unpacked) if reading.depth < archive_members.MAX_DEPTH else None,
    }
    try:
        summary = await run_child(READ, arguments, on_progress=reading.report, files=files)
    except ChildFailed as error:
        # The file may have gone during the reading, for example with its folder.
        if not is_here(reading.document.sha256):
            raise FileNotHere(delay=NOT_HERE_SECONDS) from error
        if error.code != NeedsOcr.code or not _may_recognize():
            raise in_words_for_readers(error) from error
        summary = {"needsOcr": 1}
    if summary["needsOcr"] and _may_recognize():
        try:
            await _recognize_in_child(reading, arguments, files)
        except ChildFailed as error:
            if not output.exists():  # otherwise the first reading found some text, which is better than nothing
                raise in_words_for_readers(error) from error


async def _recognize_in_child(reading: Reading, arguments: dict[str, Any], files: ChildFiles) -> None:
    config, run_child = settings.CONFIG, reading.context.run_child
    assert run_child is not None
    ocr_arguments = {"pages": config.ocr_pages, "seconds": OCR_SHARE * config.ocr_seconds}
    limits = ChildLimits(config.ocr_memory_mb << 20, config.ocr_seconds)
    # One at a time: text recognition takes as much memory as everything else together.
    async with _ocr_lock:
        await run_child(
            READ, {**arguments, "ocr": ocr_arguments}, on_progress=reading.report, limits=limits, files=files
        )


def in_words_for_readers(error: ChildFailed) -> ChildFailed:
    """Rewords the error for the document, if the child was stopped at one of its limits.

    The sandbox only knows that a function took too long, or too much memory.
    """
    words = _LIMITS.get(error.code)
    if words is None or error.error_class not in _NO_EXCEPTION:
        return error
    return ChildFailed(words, code=error.code, error_class=error.error_class)


def _may_recognize() -> bool:
    return settings.CONFIG.ocr_pages > 0 and ocr.is_installed()


def begin(context: StepContext, document_id: str, chunk_size: int, overlap: int) -> Reading:
    """Starts a reading. Raises DocumentGone."""
    found = find_for_step(context, document_id)
    over = [*FINISHED_STEP, StepStatus.RUNNING]
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN, {"document": found.uid, "step": context.step_id, "over": over})
        row = cursor.fetchone()
    if row is None:
        raise DocumentGone()
    return Reading(context, found, row[0], chunk_size, overlap, archive_members.depth_of(found))


def find_for_step(context: StepContext, document_id: str) -> Document:
    """Returns a document that the owner of the step may see. Raises DocumentGone."""
    owner = User.objects.filter(pk=context.owner_id).first()
    document = find_documents(owner, [document_id]).get(document_id) if owner else None
    if document is None:
        raise DocumentGone(f"There is no document {document_id}, or it was deleted meanwhile.")
    return document


def index(
    reading: Reading, output: Path, unpacked: Path | None = None, tool: str = "DOCUMENT_INGEST"
) -> dict[str, Any]:
    """Indexes the child's result as the current generation. Documents inside are stored, and get steps of their own."""
    # The child is done, so the next document can use its slot while this one is written.
    reading.context.leave_slot()
    parsed = json.loads(output.read_text(encoding="utf-8"))
    size = _text_size(parsed)
    if size > quota.MEGABYTE:  # before much is written: `swap` checks every size
        check_room(reading, size - reading.document.text_size)
    # Before the index is written: its warnings name the members that could not be stored.
    inside = archive_members.store_members(reading.document, parsed, unpacked) if unpacked else []
    try:
        write(reading, parsed)
        swap(reading, parsed, size)
    except BaseException:
        # If the process crashes before this, the next swap deletes the rows.
        delete_generation(reading.document.uid, reading.generation)
        raise
    chunks = {"chunkSize": reading.chunk_size, "overlap": reading.overlap}
    # After the swap. If the process dies in between, the step runs again, finds the same members, and adds their steps.
    archive_members.add_steps(reading.context, tool, inside, chunks)
    return {
        "documentId": reading.document.id_for(reading.document.owner),
        "pages": len(parsed["pages"]),
        "words": parsed["wordCount"],
        "chunks": len(parsed["chunks"]),
    }


def write(reading: Reading, parsed: dict[str, Any]) -> None:
    """Stores pages and chunks under the reading's generation, which nobody sees yet. Raises DocumentGone."""
    document, generation = reading.document, reading.generation
    texts, chunks = parsed["pages"], parsed["chunks"]
    tables = parsed["rows"] or [None] * len(texts)
    pages = list(zip(range(1, len(texts) + 1), texts, tables, strict=True))
    try:
        for start in range(0, max(len(pages), len(chunks)), BATCH):
            _raise_if_stopped(reading)
            some = slice(start, start + BATCH)
            with transaction.atomic():
                write_pages(document, generation, pages[some])
                write_chunks(document, generation, parsed["language"], chunks[some])
    except IntegrityError as error:  # the foreign key: the document was deleted meanwhile
        raise DocumentGone() from error


def _embed(reading: Reading) -> None:
    """Requests vectors as long as the provider answers. A later job gets what is missing."""
    model = configured_model()
    if model is None:
        return

    def report(done: int, total: int) -> None:
        share = READING_SHARE + (100 - READING_SHARE) * done // max(total, 1)
        reading.context.report(share, f"vector {done} of {total}")

    try:
        embed_document(reading.document.pk, model, report, reading.stopped.is_set)
        activate_if_complete(model)
    except StepError as error:
        logger.warning("%s is found by full text only for now: %s", reading.document.pk, error.message)


def _raise_if_stopped(reading: Reading) -> None:
    if reading.stopped.is_set():
        raise Stopped()


def swap(reading: Reading, parsed: dict[str, Any], size: int) -> None:
    """Makes the reading's generation, with `size` bytes of text, the current one.

    Raises DocumentGone, Overtaken and NoRoom.
    """
    uid = reading.document.uid
    with transaction.atomic():
        # The owner before the document: all locks are taken in one order.
        quota.lock(reading.document.owner_id)
        # The UPDATE locks the row. If two readings end together, the second waits here, then compares its generation
        # with the one that the first has set.
        not_newer = Document.objects.filter(pk=uid, generation__lte=reading.generation)
        if not not_newer.update(**_new_fields(reading, parsed), text_size=size):
            raise Overtaken() if Document.objects.filter(pk=uid).exists() else DocumentGone()
        # Checked under the row's lock: the rollback undoes the update if the step was stopped.
        _raise_if_stopped(reading)
        # The rollback undoes the update here too. Another reading may have taken the room meanwhile.
        if size > reading.document.text_size:
            check_room(reading)
        write_names(Document.objects.filter(pk=uid))
        delete_generations_before(uid, reading.generation)
        record(
            reading.context.owner,
            "document.indexed",
            f"document:{uid}",
            {
                "status": DocumentStatus.INDEXED,
                "pages": len(parsed["pages"]),
                "chunks": len(parsed["chunks"]),
                "chunkSize": reading.chunk_size,
                "overlap": reading.overlap,
            },
            execution_id=reading.context.execution_id,
        )


def check_room(reading: Reading, more: int = 0) -> None:
    """Raises NoRoom if so many bytes more do not fit into the owner's quota. It is exact under the owner's lock."""
    try:
        quota.check_locked(reading.document.owner_id, more)
    except quota.OverQuota as error:
        raise NoRoom(f"The text of the document has no room. {error}") from error


def _text_size(parsed: dict[str, Any]) -> int:
    """Returns how many bytes the pages, their tables and the chunks take."""
    texts = [*parsed["pages"], *(text for *_, text, _ in parsed["chunks"])]
    tables = sum(len(json.dumps(rows)) for rows in parsed["rows"] or [] if rows)
    return tables + sum(len(text.encode()) for text in texts)


def _new_fields(reading: Reading, parsed: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of the document that the reading sets."""
    now = timezone.now()
    return {
        "status": DocumentStatus.INDEXED,
        "error": None,
        "generation": reading.generation,
        "file_type": parsed["fileType"],
        "warnings": parsed["warnings"],
        "metadata": parsed["metadata"],
        "language": parsed["language"],
        "page_count": len(parsed["pages"]),
        "word_count": parsed["wordCount"],
        "chunk_count": len(parsed["chunks"]),
        "chunk_size": reading.chunk_size,
        "overlap": reading.overlap,
        "indexed_at": now,
        "changed_at": now,
    }


def record_failure(context: StepContext, document_id: str, error: StepError) -> None:
    """Stores a step's final error in its document. The index of an earlier reading is kept."""
    try:
        found = find_for_step(context, document_id)
    except DocumentGone:
        return
    stored = {"code": error.code, "message": error.message, "retryable": error.retryable}
    with transaction.atomic():
        # Locked, because another reading may be switching the document at this moment.
        document = _locked(found.uid)
        # The tool may be notified of a failure twice. And the newer reading of an overtaken one is fine.
        if isinstance(error, Overtaken) or document.error == stored:
            return
        document.status = DocumentStatus.INDEXED if document.generation else DocumentStatus.FAILED
        document.error = stored
        document.changed_at = timezone.now()
        document.save(update_fields=["status", "error", "changed_at"])
        record(
            context.owner,
            "document.failed",
            f"document:{document.uid}",
            {"status": document.status, "error": stored},
            execution_id=context.execution_id,
        )


def _locked(uid: UUID) -> Document:
    """Returns the document, locked until the end of the transaction. Raises DocumentGone."""
    rows = Document.objects.select_for_update(of=("self",)).select_related("step")
    document = rows.filter(pk=uid).first()
    if document is None:
        raise DocumentGone()
    return document
