"""`manage.py ingest PATH…`"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse
from rest_framework.exceptions import ValidationError

from aiworkstation.access.command_user import BAD_INPUT, FAILED, INTERRUPTED, get_command_user
from documents.errors import DocumentError
from documents.labels import ProjectIdField, TagsField
from documents.lookup import find_same_content
from documents.models import Document, DocumentStatus
from documents.storage import stored_files
from jobs.pages.forms import error_lines
from jobs.payloads.document_jobs import MAX_DOCUMENTS
from jobs.start import start
from jobs.terminal_progress import ProgressConsole, follow, progress_bar
from jobs.types.bulk_documents import BulkDocuments
from workflows.models import StepStatus, WorkflowExecution


@dataclass(frozen=True)
class Failure:
    name: str
    code: str
    message: str


@dataclass
class Uploads:
    """The result of the uploads: `paths` are those of the documents that a job will index.

    `inside` counts the documents that came out of those files.
    """

    paths: dict[UUID, Path] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skipped: int = 0
    inside: int = 0

    def add(self, document: Document, path: Path) -> None:
        self.paths[document.uid] = path
        self.ids.append(document.client_id)


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
        parser.add_argument(
            "--skip-same",
            action="store_true",
            help="skip files whose content is already indexed for this user and project",
        )

    def handle(self, *args: Any, paths: list[Path], user: str, project: str, tag: list[str], **options: Any) -> None:
        owner = get_command_user(user)
        _check_labels(project, tag)
        files = _files(paths)
        uploads = _upload(owner, files, project, skip_same=options["skip_same"])
        if uploads.ids:
            self._index(owner, uploads, project, tag)
        self._print_summary(len(files), uploads)
        if uploads.failures:
            raise SystemExit(FAILED)

    def _index(self, owner: User, uploads: Uploads, project: str, tags: list[str]) -> None:
        payload = {"documents": [{"id": id} for id in uploads.ids], "projectId": project, "tags": tags}
        execution, _ = start(owner, {"jobType": BulkDocuments.name, "payload": payload})
        try:
            follow(execution.pk, ProgressConsole())
        except KeyboardInterrupt:
            page = reverse("jobs:job", args=[execution.pk])
            self.stdout.write(f"\nThe job is still running. You can watch or cancel it at {page}.")
            raise SystemExit(INTERRUPTED) from None
        uploads.failures += _failures_of(execution, uploads.paths)
        uploads.inside = execution.steps.count() - len(uploads.ids)

    def _print_summary(self, total: int, uploads: Uploads) -> None:
        """Prints a line for each failure. Unlike the cells of a table, a line never cuts a name."""
        for failure in uploads.failures:
            self.stdout.write(f"{_printable(failure.name)}: {failure.code}: {_printable(failure.message)}")
        # As on the job's page, documents inside others count.
        tried = total - uploads.skipped + uploads.inside
        inside = f" {uploads.inside} of them were inside others." if uploads.inside else ""
        self.stdout.write(f"{tried - len(uploads.failures)} of {tried} documents are indexed.{inside}")
        if uploads.skipped:
            files = "1 file was" if uploads.skipped == 1 else f"{uploads.skipped} files were"
            self.stdout.write(f"{files} skipped: the same content is stored already.")


def _check_labels(project: str, tags: list[str]) -> None:
    """Raises CommandError, which names each wrong one, before anything is uploaded."""
    lines: list[str] = []
    for option, check, value in (("--project", ProjectIdField(), project), ("--tag", TagsField(), tags)):
        try:
            check.run_validation(value)
        except ValidationError as error:
            lines += [f"{option}: {line}" for line in error_lines(error)]
    if lines:
        raise CommandError("\n".join(lines), returncode=BAD_INPUT)


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


def _upload(owner: User, files: list[Path], project: str, *, skip_same: bool) -> Uploads:
    uploads = Uploads()
    with progress_bar(ProgressConsole()) as bar:
        for path in bar.track(files, description="Uploading"):
            try:
                same = _find_same(owner, path, project) if skip_same else None
                if same is None:
                    with path.open("rb") as file:
                        uploads.add(stored_files.store(owner, path.name, file, project_id=project), path)
                elif _is_unread(same) and same.uid not in uploads.paths:
                    uploads.add(same, path)
                else:
                    uploads.skipped += 1
            except DocumentError as error:
                uploads.failures.append(Failure(str(path), error.code, error.message))
            except OSError as error:
                uploads.failures.append(Failure(str(path), "unreadable", error.strerror or str(error)))
    return uploads


def _find_same(owner: User, path: Path, project: str) -> Document | None:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return find_same_content(owner, sha256, project)


def _is_unread(document: Document) -> bool:
    """Whether it was stored, but is neither indexed nor going to be: an earlier run failed or was interrupted."""
    return document.state in (DocumentStatus.UPLOADED, DocumentStatus.FAILED)


def _failures_of(execution: WorkflowExecution, paths: dict[UUID, Path]) -> list[Failure]:
    """Files keep the path that was given. Other steps are documents that were inside a file."""
    steps = execution.steps.exclude(status=StepStatus.COMPLETED).order_by("index")
    return [
        Failure(
            str(paths.get(UUID((arguments or {})["documentId"]), name)),
            (error or {}).get("code", status),
            (error or {}).get("message", ""),
        )
        for name, status, error, arguments in steps.values_list("name", "status", "error", "arguments")
    ]


def _printable(text: str) -> str:
    """One line of text that every terminal can show: a name can contain line ends and bytes that are not UTF-8."""
    return text if text.isprintable() else repr(text)[1:-1]
