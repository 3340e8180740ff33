"""The application as a reader: files are uploaded, and `manage.py work` runs the bulk job that reads them."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import run_environment
from bench.adapter import fresh_database
from bench.documents.peak_memory import PeakMemory
from bench.resource_usage import UsageMeter, process_tree

if TYPE_CHECKING:
    from workflows.models import WorkflowExecution, WorkflowStep

DATABASE = "bench_documents"
HOME = run_environment.BASE / "documents"
SAMPLE = run_environment.ROOT / "jobs" / "sample_documents" / "service-contract.docx"
START_SECONDS = 60
STOP_SECONDS = 30


@dataclass(frozen=True)
class Ended:
    """How one file ended: `code` is `ok` or an error code. Times are seconds from the start of the job. `document` is
    the id, or empty if the upload was refused.
    """

    name: str
    code: str
    message: str
    started: float = 0.0
    finished: float = 0.0
    document: str = ""


@dataclass(frozen=True)
class Bulk:
    """`seconds` are from the start of the first step to the end of the last. `cost` is a `ResourceUsage` as a dict."""

    files: list[Ended]
    seconds: float
    pages: int
    chunks: int
    peak_mb: float
    process_mb: float
    cost: dict[str, float]

    @property
    def figures(self) -> dict[str, Any]:
        ok = sum(file.code == "ok" for file in self.files)
        return {
            "files": len(self.files),
            "indexed": ok,
            "seconds": self.seconds,
            "files_a_minute": len(self.files) / self.seconds * 60,
            "pages": self.pages,
            "chunks": self.chunks,
            "pages_a_second": self.pages / self.seconds,
            "peak_mb": self.peak_mb,
            "process_mb": self.process_mb,
            "cost": self.cost,
        }


def environment(**settings: str) -> dict[str, str]:
    return run_environment.child_environment(
        DJANGO_SETTINGS_MODULE="aiworkstation.settings",
        ENV_FILE="",
        DATA_DIR=str(HOME),
        DATABASE_URL=run_environment.database_url(DATABASE),
        SECRET_KEY="of-the-benchmark-alone-" + 40 * "x",
        **({"WORKERS": "1"} | settings),
    )


def prepare() -> None:
    """Sets up Django in this process, on a new database."""
    import django
    from django.core.management import call_command
    from django.db import connections

    os.environ.update(environment())
    django.setup()
    connections.close_all()
    fresh_database(DATABASE)
    call_command("migrate", interactive=False, verbosity=0)


@contextmanager
def worker(python: Path = run_environment.PYTHON, **settings: str) -> Iterator[int]:
    """Runs `manage.py work`, by default with one worker process, and yields its process id.

    It has already read a document, so that what a worker loads once is not measured.
    """
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / "worker.log").open("ab") as log:
        command = [str(python), "manage.py", "work"]
        process = subprocess.Popen(
            command, cwd=run_environment.ROOT, env=environment(**settings), stdout=log, stderr=log
        )
    try:
        for number in range(2 * int(settings.get("WORKERS", "1"))):
            _finished(_started([str(_upload(SAMPLE, f"warm-up {number}"))], 5), START_SECONDS)
        yield process.pid
    finally:
        left = process_tree([process.pid])
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for each in left:
            if each.is_running():
                each.kill()


def ingest(pid: int, paths: Sequence[Path], *, max_parallel: int = 5, every: float = 0.25, limit: float = 900) -> Bulk:
    """Uploads the files and waits until the worker `pid` has read them in one job. Samples memory `every` seconds."""
    from documents.models import Document
    from workflows.models import WorkflowStep

    uploads = [_upload(path, "measured") for path in paths]
    with PeakMemory(pid, every=every) as peak:
        meter = UsageMeter([pid])
        execution = _started([upload for upload in uploads if not isinstance(upload, Ended)], max_parallel)
        _finished(execution, limit)
        cost = asdict(meter.read())
    steps = list(WorkflowStep.objects.filter(execution=execution).order_by("index"))
    first = min(step.started_at for step in steps if step.started_at)
    last = max(step.finished_at for step in steps if step.finished_at)
    of_files = iter(steps)
    files = [upload if isinstance(upload, Ended) else _ended(next(of_files), first) for upload in uploads]
    documents = Document.objects.in_bulk([_document_of(step) for step in steps]).values()
    return Bulk(
        files,
        (last - first).total_seconds(),
        sum(document.page_count or 0 for document in documents),
        sum(document.chunk_count for document in documents),
        peak.tree_mb,
        peak.process_mb,
        cost,
    )


def pages_of(document: str) -> list[str]:
    from documents.models import Document

    return list(Document.objects.get(pk=document).current_pages().order_by("number").values_list("text", flat=True))


def _upload(path: Path, project: str) -> "str | Ended":
    """Uploads a file. Returns the id of the document, or the error if the upload is refused."""
    from django.contrib.auth.models import User

    from documents.errors import DocumentError
    from documents.storage import stored_files

    user, _ = User.objects.get_or_create(username="bench")
    try:
        with path.open("rb") as file:
            return stored_files.store(user, path.name, file, project_id=project).client_id
    except DocumentError as error:
        return Ended(path.name, error.code, error.message)


def _started(ids: Sequence[str], max_parallel: int) -> "WorkflowExecution":
    from django.contrib.auth.models import User

    from jobs.start import start

    payload = {"documents": [{"id": id} for id in ids]}
    body = {"jobType": "bulk-documents", "maxParallel": max_parallel, "payload": payload}
    return start(User.objects.get(username="bench"), body)[0]


def _finished(execution: "WorkflowExecution", seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        execution.refresh_from_db(fields=["finished_at"])
        if execution.finished_at:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"the job did not end within {seconds:.0f} s; see {HOME / 'worker.log'}")
        time.sleep(0.1)


def _ended(step: "WorkflowStep", start: datetime) -> Ended:
    return Ended(
        step.name,
        "ok" if step.error is None else str(step.error["code"]),
        "" if step.error is None else str(step.error["message"]),
        (step.started_at - start).total_seconds() if step.started_at else 0.0,
        (step.finished_at - start).total_seconds() if step.finished_at else 0.0,
        _document_of(step),
    )


def _document_of(step: "WorkflowStep") -> str:
    return str((step.arguments or {})["documentId"])
