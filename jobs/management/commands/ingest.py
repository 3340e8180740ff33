"""`manage.py ingest PATH…`"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse
from rest_framework.exceptions import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aiworkstation.access.command_user import get_command_user
from documents.errors import DocumentError
from documents.labels import ProjectIdField, TagsField
from documents.models import Document
from documents.storage import stored_files
from jobs.pages.forms import error_lines
from jobs.payloads.document_jobs import MAX_DOCUMENTS
from jobs.start import start
from jobs.terminal_progress import follow, progress_bar
from jobs.types.bulk_documents import BulkDocuments
from workflows.models import StepStatus, WorkflowExecution

ALL_INDEXED, SOME_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Failure:
    name: str
    code: str
    message: str


class Command(BaseCommand):
    help = (
        "Uploads files, and the files in directories, and indexes them in one job. Exit codes: 0 all indexed,"
        " 1 some failed, 2 nothing was started, 130 interrupted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
        parser.add_argument("--user", default="demo", help="the owner of the documents (default: demo)")
        parser.add_argument("--project", default="", help="the project of the documents")
        parser.add_argument("--tag", action="append", default=[], help="a tag for the documents; can be repeated")

    def handle(self, *args: Any, paths: list[Path], user: str, project: str, tag: list[str], **options: Any) -> None:
        console = Console()
        owner = get_command_user(user, returncode=BAD_INPUT)
        _check_labels(project, tag)
        files = _files(paths)
        documents, failures = _upload(console, owner, files)
        if documents:
            execution = _start(owner, documents, project, tag)
            failures += self._follow(console, execution)
        _print_summary(console, len(files), failures)
        if failures:
            raise SystemExit(SOME_FAILED)

    def _follow(self, console: Console, execution: WorkflowExecution) -> list[Failure]:
        try:
            follow(execution.pk, console)
        except KeyboardInterrupt:
            page = reverse("jobs:job", args=[execution.pk])
            console.print(f"\nThe job is still running. You can watch or cancel it at {page}.")
            raise SystemExit(INTERRUPTED) from None
        return _failures_of(execution)


def _check_labels(project: str, tags: list[str]) -> None:
    """Raises CommandError before anything is uploaded."""
    try:
        ProjectIdField().run_validation(project)
        TagsField().run_validation(tags)
    except ValidationError as error:
        raise CommandError("\n".join(error_lines(error)), returncode=BAD_INPUT) from error


def _files(paths: list[Path]) -> list[Path]:
    """Returns each file once, in the order of the paths. Raises CommandError."""
    if missing := [str(path) for path in paths if not path.exists()]:
        raise CommandError(f"There is no file or directory {', '.join(missing)}.", returncode=BAD_INPUT)
    files = list(dict.fromkeys(file for path in paths for file in _files_in(path)))
    if not files:
        raise CommandError("The directory contains no files.", returncode=BAD_INPUT)
    if len(files) > MAX_DOCUMENTS:
        raise CommandError(
            f"{len(files):,} files are too many for one job. The limit is {MAX_DOCUMENTS:,}.", returncode=BAD_INPUT
        )
    return files


def _files_in(path: Path) -> Iterator[Path]:
    """Yields a file itself, or all files in a directory except hidden ones."""
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder) / name
            if not name.startswith(".") and file.is_file():
                yield file


def _upload(console: Console, owner: User, files: list[Path]) -> tuple[list[Document], list[Failure]]:
    documents: list[Document] = []
    failures: list[Failure] = []
    with progress_bar(console) as bar:
        for path in bar.track(files, description="Uploading"):
            try:
                with path.open("rb") as file:
                    documents.append(stored_files.store(owner, path.name, file))
            except DocumentError as error:
                failures.append(Failure(str(path), error.code, error.message))
            except OSError as error:
                failures.append(Failure(str(path), "unreadable", error.strerror or str(error)))
    return documents, failures


def _start(owner: User, documents: list[Document], project: str, tags: list[str]) -> WorkflowExecution:
    payload = {"documents": [{"id": document.client_id} for document in documents], "projectId": project}
    execution, _ = start(owner, {"jobType": BulkDocuments.name, "payload": payload | {"tags": tags}})
    return execution


def _failures_of(execution: WorkflowExecution) -> list[Failure]:
    steps = execution.steps.exclude(status=StepStatus.COMPLETED).order_by("index")
    return [
        Failure(name, (error or {}).get("code", status), (error or {}).get("message", ""))
        for name, status, error in steps.values_list("name", "status", "error")
    ]


def _print_summary(console: Console, total: int, failures: list[Failure]) -> None:
    if failures:
        table = Table("File", "Code", "Reason", title=f"{len(failures)} failed")
        for failure in failures:
            table.add_row(escape(failure.name), failure.code, escape(failure.message))
        console.print(table)
    console.print(f"{total - len(failures)} of {total} documents are indexed.")
