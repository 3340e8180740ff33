"""What `aiw` prints: bars and text for people, or JSON lines for scripts.

Results go to standard output. Bars, warnings and errors go to standard error.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from aiworkstation_client.models import Found, Job, StartedJob, Step
from aiworkstation_client.uploads import FailedUpload, UploadProgress

WIDTH = 60
"""Characters beside a bar."""
UNFINISHED_PARTS = ("payload", "steps", "stepsNextCursor")

errors = Console(stderr=True, highlight=False, soft_wrap=True)


class Display(Protocol):
    """Both displays. `uploading` and `following` are open while files are sent, or a job runs."""

    @contextmanager
    def uploading(self, files: int) -> Iterator[None]: ...
    def upload(self, progress: UploadProgress) -> None: ...
    @contextmanager
    def following(self) -> Iterator[None]: ...
    def started(self, job: StartedJob, url: str) -> None: ...
    def changed(self, job: Job) -> None: ...
    def failed_document(self, failure: FailedUpload) -> None: ...
    def finished(self, job: Job, output: Any, failed_steps: list[Step]) -> None: ...
    def job(self, job: Job) -> None: ...
    def jobs(self, jobs: Iterable[Job]) -> None: ...
    def results(self, results: Iterable[Found], *, is_relaxed: bool) -> None: ...


class JsonDisplay:
    """One JSON object a line. Lines of `run`, `watch` and `ingest` have the key `event`."""

    @contextmanager
    def uploading(self, files: int) -> Iterator[None]:
        yield

    def upload(self, progress: UploadProgress) -> None:
        if progress.document:
            path, was_stored = str(progress.path), progress.was_stored
            _print_json({"event": "uploaded", "path": path, "wasStored": was_stored, "document": progress.document.raw})
        elif progress.failure:
            self.failed_document(progress.failure)

    @contextmanager
    def following(self) -> Iterator[None]:
        yield

    def started(self, job: StartedJob, url: str) -> None:
        _print_json({"event": "started", "job": job.raw})

    def changed(self, job: Job) -> None:
        if not job.is_finished:
            _print_json({"event": "changed", "job": _summary(job)})

    def failed_document(self, failure: FailedUpload) -> None:
        path, code, detail = str(failure.path), failure.code, failure.detail
        _print_json({"event": "failed", "path": path, "code": code, "detail": detail})

    def finished(self, job: Job, output: Any, failed_steps: list[Step]) -> None:
        _print_json({"event": "finished", "job": _summary(job) | {"output": output}})

    def job(self, job: Job) -> None:
        _print_json(_summary(job))

    def jobs(self, jobs: Iterable[Job]) -> None:
        for each in jobs:
            _print_json(each.raw)

    def results(self, results: Iterable[Found], *, is_relaxed: bool) -> None:
        for each in results:
            _print_json(each.raw)


class TerminalDisplay:
    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=errors
        )
        self._task: TaskID | None = None
        self._done = 0
        self._lock = threading.Lock()

    @contextmanager
    def uploading(self, files: int) -> Iterator[None]:
        with self._showing("Uploading", files):
            yield

    def upload(self, progress: UploadProgress) -> None:
        is_over = bool(progress.document or progress.failure)
        self._done += is_over
        percent = "" if is_over or not progress.size else f" {100 * progress.sent // progress.size} %"
        self._update(f"Uploading {_line(progress.path.name)}{percent}", completed=self._done)
        if progress.failure:
            self.failed_document(progress.failure)

    @contextmanager
    def following(self) -> Iterator[None]:
        with self._showing("", None):
            yield

    def started(self, job: StartedJob, url: str) -> None:
        errors.print(f"Job {escape(printable(job.job_id))}: {escape(url + printable(job.panel_url))}")

    def changed(self, job: Job) -> None:
        done = job.progress.completed + job.progress.failed
        text = job.status if job.is_finished else job.waiting_for or job.progress.message or job.status
        self._update(_line(text), total=job.progress.total, completed=done)

    def failed_document(self, failure: FailedUpload) -> None:
        errors.print(escape(printable(f"{failure.path}: {failure.code}: {failure.detail}")))

    def finished(self, job: Job, output: Any, failed_steps: list[Step]) -> None:
        if output is not None:
            print(printable(_output_text(output), keep="\n\t"))
        for step in failed_steps:
            errors.print(escape(printable(f"{step.name}: {step.error.message if step.error else step.status}")))
        if job.error and not failed_steps:
            errors.print(escape(printable(f"{job.error.code}: {job.error.message}")))
        progress = job.progress
        failed = f", {progress.failed} failed" if progress.failed else ""
        errors.print(f"{job.status}: {progress.completed} of {progress.total} steps completed{failed}.")

    def job(self, job: Job) -> None:
        print(printable(f"{job.job_id} {job.name}: {job.status}"))

    def jobs(self, jobs: Iterable[Job]) -> None:
        table = Table("job", "name", "status", "done", "created", box=None, header_style="bold")
        for each in jobs:
            created = each.created_at.astimezone().strftime("%Y-%m-%d %H:%M")
            row = (each.job_id, each.name, each.status, f"{each.progress.percent} %", created)
            table.add_row(*(escape(printable(cell)) for cell in row))
        if table.row_count:
            Console(highlight=False).print(table)
        else:
            errors.print("There are no such jobs. `--status all` also lists finished ones.")

    def results(self, results: Iterable[Found], *, is_relaxed: bool) -> None:
        found = list(results)
        if not found:
            errors.print("Nothing was found.")
        elif is_relaxed:
            errors.print("Nothing fits the whole query. These passages fit a part of it:")
        for each in found:
            page = f", page {each.page}" if each.page else ""
            print(printable(f"{each.filename}{page} ({each.document_id})"))
            print("    " + printable(" ".join(each.snippet.split())) + "\n")

    @contextmanager
    def _showing(self, text: str, total: int | None) -> Iterator[None]:
        self._done = 0
        with self._bar:
            self._task = self._bar.add_task(text, total=total)
            try:
                yield
            finally:
                task, self._task = self._task, None
        self._bar.remove_task(task)

    def _update(self, text: str, *, completed: int, total: int | None = None) -> None:
        if self._task is not None:
            self._bar.update(self._task, description=text, completed=completed, total=total)


def printable(text: str, *, keep: str = "") -> str:
    """Escapes what would control the terminal. A name can contain line ends, colours and bytes that are not UTF-8."""
    return "".join(each if each.isprintable() or each in keep else repr(each)[1:-1] for each in text)


def _line(text: str) -> str:
    return escape(printable(text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"))


def _output_text(output: Any) -> str:
    """A model's text unchanged, and any other output as JSON."""
    if isinstance(output, dict) and isinstance(output.get("text"), str):
        return str(output["text"])
    return json.dumps(output, ensure_ascii=False, indent=2)


def _summary(job: Job) -> dict[str, Any]:
    return {name: value for name, value in job.raw.items() if name not in UNFINISHED_PARTS}


def _print_json(row: Any) -> None:
    """ASCII, so that names that are not UTF-8 need no special care. Each line is written at once."""
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()
