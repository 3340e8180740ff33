"""Uploads and indexes documents without a worker."""

import asyncio
import hashlib
import tempfile
from collections.abc import Callable, Iterable
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User

from documents.errors import DocumentError
from documents.models import Document, path_of
from documents.reading import archive_members, ingest
from documents.reading.pipeline import read_in_child
from documents.storage import stored_files
from workflows import engine
from workflows.errors import ChildFailed
from workflows.models import WorkflowStep
from workflows.steps import NewExecution, NewStep
from workflows.tools import StepContext

SAMPLES = Path(__file__).resolve().parent.parent / "samples"


def upload(user: User, text: str | bytes = "Hello world.", filename: str = "hello.txt", **options: Any) -> Document:
    content = text.encode() if isinstance(text, str) else text
    return stored_files.store(user, filename, BytesIO(content), **options)


def upload_many(user: User, texts: Iterable[str]) -> list[Document]:
    """Different text files that are not read yet, without the queries and locks of single uploads."""
    documents = []
    for number, content in enumerate(text.encode() for text in texts):
        sha256 = hashlib.sha256(content).hexdigest()
        path = path_of(sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        name = f"{number}.txt"
        documents.append(
            Document(owner=user, client_id=name, filename=name, file_type="txt", file_size=len(content), sha256=sha256)
        )
    return Document.objects.bulk_create(documents)


def new_step(user: User, arguments: dict[str, Any] | None = None) -> WorkflowStep:
    """Starts a job and returns its ready step."""
    step = NewStep("read", tool="DOCUMENT_INGEST", arguments=arguments or {})
    execution = engine.start(NewExecution(user.pk, "bulk-documents", "test", [step]), actor=user.username)
    return WorkflowStep.objects.get(execution_id=execution)


def context_for(user: User, step: WorkflowStep | None = None, **options: Any) -> StepContext:
    step = step or new_step(user)
    return StepContext(step.execution_id, step.pk, step.name, 1, "key", user.pk, user.username, **options)


def begin(user: User, document: Document, chunk_size: int = 500, overlap: int = 100) -> ingest.Reading:
    return ingest.begin(context_for(user), str(document.uid), chunk_size, overlap)


def read(reading: ingest.Reading) -> dict[str, Any]:
    """Does what the child and then the worker do. Raises what they raise."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "document.json"
        arguments = {
            "path": str(reading.document.path),
            "filename": reading.document.filename,
            "chunkSize": reading.chunk_size,
            "overlap": reading.overlap,
            "output": str(output),
            "members": folder if reading.depth < archive_members.MAX_DEPTH else None,
        }
        read_in_child(arguments)
        result = ingest.index(reading, output, Path(folder))
    WorkflowStep.objects.filter(pk=reading.context.step_id).update(status="completed")
    return result


def index(user: User, document: Document, chunk_size: int = 500, overlap: int = 100) -> Document:
    read(begin(user, document, chunk_size, overlap))
    document.refresh_from_db()
    return document


def add(user: User, text: str | bytes, filename: str = "hello.txt", **options: Any) -> Document:
    """Uploads and indexes a document."""
    return index(user, upload(user, text, filename, **options))


async def run_child(
    function: str,
    arguments: dict[str, Any],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    files: object = None,
) -> Any:
    """Runs a child's function in this process, with the errors that the sandbox would raise."""
    module, _, name = function.partition(":")
    try:
        return await asyncio.to_thread(getattr(import_module(module), name), arguments, on_progress)
    except DocumentError as error:
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        raise ChildFailed(error.message, code=error.code, error_class=kind) from error
