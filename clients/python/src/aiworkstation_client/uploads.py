"""Uploads of files and folders.

A file gets an id made of its content, its path in the folder, and its labels. The server refuses a second document with
the same id. So an upload that is repeated, after a cut connection or by a second run, finds the document of the first.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from aiworkstation_client.addresses import address, listed
from aiworkstation_client.decoding import read
from aiworkstation_client.errors import BadAnswer, BadRequest, Conflict, FileChanged, NotFound, TooLarge, UploadsFailed
from aiworkstation_client.exchange import Form, InThread, Operation, Request, Together
from aiworkstation_client.models import Document, Uploaded
from aiworkstation_client.watched_file import WatchedFile

AnyPath = str | os.PathLike[str]
DOCUMENTS = "/api/documents"
MAX_PARALLEL = 32
CHANGED = "The file changed while it was uploaded. Upload it again."


@dataclass(frozen=True)
class UploadProgress:
    """How far the upload of a file is. At the end, either `document` or `failure` is set.

    `was_stored` is true if an earlier upload had stored the file.
    """

    path: Path
    sent: int
    size: int
    document: Document | None = None
    failure: FailedUpload | None = None
    was_stored: bool = False


@dataclass(frozen=True)
class FailedUpload:
    """A file that is not stored. `code` is `unreadable`, `changed`, or a code of the API, such as `empty`."""

    path: Path
    code: str
    detail: str


@dataclass(frozen=True)
class UploadReport:
    """The result of an upload of several files, in the order of the files."""

    documents: list[Document]
    failures: list[FailedUpload]

    def raise_for_failures(self) -> None:
        """Raises UploadsFailed if a file is not stored."""
        if self.failures:
            raise UploadsFailed(self.failures)


OnProgress = Callable[[UploadProgress], None]


@dataclass(frozen=True)
class LocalFile:
    """`place` is its path below the folder that was named, or its name."""

    path: Path
    place: str


@dataclass(frozen=True)
class Labels:
    project_id: str | None = None
    tags: Sequence[str] = ()
    mode: str | None = None

    def fields(self) -> dict[str, Any]:
        given = {"projectId": self.project_id, "tags": listed("tags", self.tags), "mode": self.mode}
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True)
class Outcome:
    document: Document | None
    failure: FailedUpload | None


def find_files(paths: Iterable[AnyPath]) -> list[LocalFile]:
    """Returns the named files, and the files in the named folders except hidden ones, each once.

    Raises FileNotFoundError or ValueError before anything is sent.
    """
    named = [Path(path) for path in paths]
    for path in named:
        if not path.exists():
            raise FileNotFoundError(f"There is no file or folder {str(path)!r}.")
        if not path.is_file() and not path.is_dir():
            raise ValueError(f"{str(path)!r} is neither a file nor a folder.")
    files = {file.path.resolve(): file for path in named for file in _files_in(path)}
    if not files:
        raise ValueError("There are no files to upload.")
    return list(files.values())


def _files_in(path: Path) -> Iterator[LocalFile]:
    if not path.is_dir():
        yield LocalFile(path, path.name)
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder) / name
            if not name.startswith(".") and file.is_file():
                yield LocalFile(file, file.relative_to(path).as_posix())


def upload(
    path: AnyPath,
    *,
    id: str | None = None,
    project_id: str | None = None,
    tags: Sequence[str] = (),
    mode: str | None = None,
    on_progress: OnProgress | None = None,
) -> Operation[Document]:
    """Stores a file as a document. To make it searchable, index it: see `start_bulk_documents` and `ingest`.

    Without `id`, a file that is stored already with the same name and labels is not stored again: its document is
    returned. With an `id` that another document has, Conflict is raised. `on_progress` is called while the file is
    sent, and must not block.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder: use upload_files.")
    (file,) = find_files([path])
    document: Document = yield from _upload(file, id, Labels(project_id, tags, mode), on_progress or _ignore)
    return document


def upload_files(
    *paths: AnyPath,
    project_id: str | None = None,
    tags: Sequence[str] = (),
    mode: str | None = None,
    parallel: int = 4,
    on_progress: OnProgress | None = None,
) -> Operation[UploadReport]:
    """Stores files, and all files in folders except hidden ones, `parallel` at a time.

    A file that cannot be stored is in the report's `failures`, and the others are stored. If the server cannot be
    reached or refuses the token, the exception is raised. Call it again to continue: stored files are not sent again.
    `on_progress` is called from several threads, but never twice at the same time.
    """
    report: UploadReport = yield from upload_all(
        find_files(paths), Labels(project_id, tags, mode), parallel=parallel, on_progress=on_progress
    )
    return report


def upload_all(
    files: Sequence[LocalFile], labels: Labels, *, parallel: int = 4, on_progress: OnProgress | None = None
) -> Operation[UploadReport]:
    if not 1 <= parallel <= MAX_PARALLEL:
        raise ValueError(f"parallel must be 1 to {MAX_PARALLEL}.")
    tell = _one_at_a_time(on_progress) if on_progress else _ignore
    outcomes: list[Outcome] = yield Together((_try_upload(file, labels, tell) for file in files), parallel)
    # Two files with the same name and content are one document.
    documents = {outcome.document.uid: outcome.document for outcome in outcomes if outcome.document}
    return UploadReport(list(documents.values()), [outcome.failure for outcome in outcomes if outcome.failure])


def _ignore(progress: UploadProgress) -> None:
    """Does nothing."""


def _one_at_a_time(on_progress: OnProgress) -> OnProgress:
    lock = threading.Lock()

    def tell(progress: UploadProgress) -> None:
        with lock:
            on_progress(progress)

    return tell


def _try_upload(file: LocalFile, labels: Labels, tell: OnProgress) -> Operation[Outcome]:
    """Returns a failure that concerns this file only. Other exceptions would meet every file."""
    try:
        document = yield from _upload(file, None, labels, tell)
        return Outcome(document, None)
    except (BadRequest, TooLarge, Conflict) as error:
        failure = FailedUpload(file.path, error.code, error.errors[0].detail)
    except FileChanged as error:
        failure = FailedUpload(file.path, "changed", str(error))
    except OSError as error:
        failure = FailedUpload(file.path, "unreadable", error.strerror or str(error))
    tell(UploadProgress(file.path, 0, 0, failure=failure))
    return Outcome(None, failure)


def _upload(file: LocalFile, id: str | None, labels: Labels, tell: OnProgress) -> Operation[Document]:
    sha256, size = yield InThread(lambda: _digest(file.path))
    progress = UploadProgress(file.path, 0, size)
    own_id = id or _content_id(sha256, file.place, labels)
    form = Form(
        os.fsencode(file.path.name).decode("utf-8", "replace"),
        lambda: _open(progress, tell),
        {"id": own_id, **labels.fields()},
    )
    document = None if id is not None else (yield from _find(own_id, sha256))
    was_stored = document is not None
    if document is None:
        document = yield from _send(form, own_id, sha256, is_own=id is None)
    tell(replace(progress, sent=size, document=document, was_stored=was_stored))
    return document


def _find(id: str, sha256: str) -> Operation[Document | None]:
    """Looks before a file is sent: sending it only to be refused takes longer, and the audit trail records refusals."""
    try:
        document = yield from _get(id)
    except NotFound:
        return None
    return document if document.sha256 == sha256 else None


def _send(form: Form, id: str, sha256: str, *, is_own: bool) -> Operation[Document]:
    """A first attempt that was cut may have stored the document. If the id is our own, another upload may have, too."""
    try:
        answer = yield Request("POST", DOCUMENTS, form=form, is_repeatable=True)
    except Conflict as error:
        if error.code != "id_taken" or not (is_own or error.attempt > 1):
            raise
        document = yield from _get(id)
        if document.sha256 != sha256:
            raise
        return document
    document = _only(read(Uploaded, answer.json()).documents)
    if document.sha256 != sha256:
        yield Request("DELETE", address(DOCUMENTS, document.id))
        raise FileChanged(CHANGED)
    return document


def _only(documents: list[Document]) -> Document:
    if len(documents) != 1:
        raise BadAnswer(f"The server stored {len(documents)} documents for one file.")
    return documents[0]


def _get(id: str) -> Operation[Document]:
    answer = yield Request("GET", address(DOCUMENTS, id))
    return read(Document, answer.json())


def _open(progress: UploadProgress, tell: OnProgress) -> BinaryIO:
    def on_read(position: int, is_end: bool) -> None:
        if position > progress.size or (is_end and position != progress.size):
            raise FileChanged(CHANGED)
        tell(replace(progress, sent=position))

    return cast(BinaryIO, WatchedFile(progress.path.open("rb"), on_read))


def _digest(path: Path) -> tuple[str, int]:
    """Returns the SHA-256 and the size."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()


def _content_id(sha256: str, place: str, labels: Labels) -> str:
    identity = json.dumps([sha256, os.fsencode(place).hex(), labels.fields()], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:40]
