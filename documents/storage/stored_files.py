"""Stores and deletes uploaded files: the bytes, under their SHA-256, and the documents' rows.

The bytes are in place before a document's row is committed, and are deleted after the last row that names them. So a
crash can leave an orphaned file, which `orphaned_files` deletes, but never a document without its bytes. Locks are
taken in one order: owner, document, bytes.
"""

import hashlib
import os
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction

from aiworkstation.access import quota
from aiworkstation.audit.record import record
from aiworkstation.ids import uuid7
from documents.errors import DocumentError, Empty, TooLarge
from documents.lookup import CLIENT_ID
from documents.models import Document, path_of
from workflows.models import Mode

MAX_NAME = 255
MEGABYTE = 1 << 20
_BLOCK = 1 << 20
_FORBIDDEN_IN_NAMES = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of characters, line separators
_REORDERING = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}  # these show `fdp.exe` as `exe.pdf`


class OverQuota(DocumentError):
    """There is no room left for this file: delete documents that are no longer needed."""

    code = "over_quota"


class TooManyFiles(DocumentError):
    """Too many files came at once: upload this one by itself, or with fewer."""

    code = "too_many_files"


class UnsafeName(DocumentError):
    """The file's name cannot be used: rename the file and upload it again."""

    code = "unsafe_name"


class BadId(DocumentError):
    """The id cannot be used: it consists of 1 to 64 letters, digits, dots, underscores and hyphens."""

    code = "invalid"


class IdTaken(DocumentError):
    """A document of yours has this id: choose another, or delete that document first."""

    code = "id_taken"


class BeingWorkedOn(DocumentError):
    """A job works on the document: wait for its end, or cancel it."""

    code = "being_worked_on"


class ParentDeleted(DocumentError):
    """The document that contains this one was deleted meanwhile: upload the file again."""

    code = "not_found"


@dataclass(frozen=True, slots=True)
class _Received:
    path: Path
    size: int
    sha256: str


def store(
    user: User,
    filename: str,
    file: IO[bytes],
    *,
    client_id: str | None = None,
    project_id: str = "",
    tags: Sequence[str] = (),
    mode: str = Mode.DEFAULT,
) -> Document:
    """Stores a file that `user` uploads. A job reads it later.

    Raises Empty, TooLarge, OverQuota, UnsafeName, BadId or IdTaken. Then nothing is stored.
    """
    check_name(filename)
    if client_id is not None and not CLIENT_ID.fullmatch(client_id):
        raise BadId()
    uid = uuid7()
    document = Document(
        uid=uid,
        owner=user,
        client_id=client_id or str(uid),
        filename=filename,
        file_type=_extension(filename),
        project_id=project_id,
        tags=list(dict.fromkeys(tags)),
        mode=mode,
    )
    return _store(document, file)


def upload_allowance(user: User) -> int:
    """Returns how many bytes one upload of this user may have in all.

    It leaves room for a file that does not fit into the quota, so that the answer can name that file.
    """
    config = settings.CONFIG
    left = max(0, config.user_quota_mb * MEGABYTE - quota.used(user.pk))
    return min(left + config.max_upload_mb * MEGABYTE, config.max_upload_total_mb * MEGABYTE) + MEGABYTE


def store_member(parent: Document, uid: UUID, filename: str, file: IO[bytes]) -> Document:
    """Stores a document that was inside `parent`, with the same owner and labels.

    Raises Empty, TooLarge, OverQuota, UnsafeName, IdTaken or ParentDeleted. Then nothing is stored.
    """
    check_name(filename)
    document = Document(
        uid=uid,
        owner=parent.owner,
        client_id=str(uid),
        filename=filename,
        file_type=_extension(filename),
        project_id=parent.project_id,
        tags=parent.tags,
        mode=parent.mode,
        parent=parent,
    )
    return _store(document, file)


def _store(document: Document, file: IO[bytes]) -> Document:
    with _receive(file) as received:
        document.file_size, document.sha256 = received.size, received.sha256
        _insert(document, received)
    return document


def check_name(filename: str) -> None:
    """Raises UnsafeName, which explains what to change. A name is never changed silently."""
    if filename.strip() in {"", ".", ".."}:
        raise UnsafeName("The file has no name: give it one.")
    if len(filename) > MAX_NAME:
        raise UnsafeName(f"The file's name has {len(filename)} characters: shorten it to {MAX_NAME}.")
    if "/" in filename or "\\" in filename:
        raise UnsafeName("The file's name holds a path: send the name alone, without / and \\.")
    if any(_is_forbidden(char) for char in filename):
        raise UnsafeName("The file's name holds control characters: rename the file.")


def _is_forbidden(char: str) -> bool:
    return unicodedata.category(char) in _FORBIDDEN_IN_NAMES or ord(char) in _REORDERING


def check_size(size: int) -> None:
    """Raises TooLarge for a file over MAX_UPLOAD_MB."""
    limit = settings.CONFIG.max_upload_mb
    if size > limit * MEGABYTE:
        raise TooLarge(f"The file is larger than {limit} MB: split it and upload the parts.")


def check_number(number: int) -> None:
    """Raises TooManyFiles for each file beyond MAX_UPLOAD_FILES in one request. The first file is number 1."""
    limit = settings.CONFIG.max_upload_files
    if number > limit:
        raise TooManyFiles(f"More than {limit} files came at once: upload this one with the next ones.")


def delete(document: Document, actor: User) -> None:
    """Deletes a document, its members, its text, and its bytes unless another document has the same.

    Raises BeingWorkedOn. Then nothing is deleted.
    """
    with transaction.atomic():
        # The owner first: all locks here are taken in one order.
        quota.lock(document.owner_id)
        doomed = _with_members(document)
        if any(row.is_being_worked_on for row in doomed):
            raise BeingWorkedOn()
        _give_duplicates_a_new_original(doomed)
        for row in doomed:
            changes = {"id": row.client_id, "filename": row.filename}
            record(actor, "document.deleted", f"document:{row.uid}", changes)
        Document.objects.filter(uid__in=[row.uid for row in doomed]).delete()
        hashes = {row.sha256 for row in doomed}
        # Files cannot be rolled back, so they are deleted only after the rows' deletion is committed.
        transaction.on_commit(lambda: _discard_unused(hashes))


@contextmanager
def _receive(file: IO[bytes]) -> Iterator[_Received]:
    """Writes the file to our disk, complete and synced, under a temporary name that is removed afterwards."""
    folder = Path(settings.MEDIA_ROOT) / "incoming"
    folder.mkdir(parents=True, exist_ok=True)
    hasher, size = hashlib.sha256(), 0
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as target:
        path = Path(target.name)
        try:
            while block := file.read(_BLOCK):
                size += len(block)
                check_size(size)
                hasher.update(block)
                target.write(block)
            if size == 0:
                raise Empty()
            target.flush()
            # Before the row is committed: a power failure must not leave a document without its bytes.
            os.fsync(target.fileno())
            yield _Received(path, size, hasher.hexdigest())
        finally:
            path.unlink(missing_ok=True)


def _insert(document: Document, received: _Received) -> None:
    with transaction.atomic():
        # The owner's lock: two simultaneous uploads would both fit into the quota, or both become the original.
        quota.lock(document.owner_id)
        own = Document.objects.filter(owner_id=document.owner_id)
        if document.parent_id is not None and not own.filter(pk=document.parent_id).exists():
            raise ParentDeleted()
        if own.filter(client_id=document.client_id).exists():
            raise IdTaken(f"You have a document with the id {document.client_id}: choose another id.")
        try:
            quota.check(document.owner_id, received.size)
        except quota.OverQuota as error:
            raise OverQuota(str(error)) from error
        document.duplicate_of = _original(document)
        # The lock on the bytes: deleting another document with the same bytes must not remove the file meanwhile.
        lock_bytes(received.sha256)
        # Before the row: a crash between the two leaves an orphaned file, not a document without its bytes.
        _put_in_place(received)
        document.save(force_insert=True)
        record(
            document.owner,
            "document.uploaded",
            f"document:{document.uid}",
            {
                "id": document.client_id,
                "filename": document.filename,
                "fileSize": document.file_size,
                "sha256": document.sha256,
            },
        )


def _original(document: Document) -> Document | None:
    same = Document.objects.filter(owner_id=document.owner_id, sha256=document.sha256, duplicate_of=None)
    return same.order_by("created_at", "uid").first()


def _put_in_place(received: _Received) -> None:
    final = path_of(received.sha256)
    final.parent.mkdir(exist_ok=True)
    # Even if equal bytes are there: the new time of the file keeps the sweep from deleting it.
    received.path.replace(final)
    for folder in (final.parent, final.parent.parent):
        _sync(folder)


def _sync(folder: Path) -> None:
    """Syncs the folder: without that, a power failure can lose the new name in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _with_members(document: Document) -> list[Document]:
    """Returns the document and its members at any depth, locked."""
    rows = Document.objects.select_for_update(of=("self",)).select_related("step")
    found = list(rows.filter(pk=document.pk))
    for row in found:
        found.extend(rows.filter(parent=row))
    return found


def _give_duplicates_a_new_original(doomed: list[Document]) -> None:
    gone = [row.uid for row in doomed]
    for row in doomed:
        orphans = Document.objects.filter(duplicate_of=row).exclude(uid__in=gone)
        # The oldest duplicate becomes the original of the others.
        heir = orphans.order_by("created_at", "uid").first()
        if heir is not None:
            orphans.update(duplicate_of=heir)
            Document.objects.filter(pk=heir.pk).update(duplicate_of=None)


def _discard_unused(hashes: set[str]) -> None:
    for sha256 in sorted(hashes):
        with transaction.atomic():
            lock_bytes(sha256)
            # Checked under the lock: an upload of the same bytes may have been stored meanwhile.
            if not Document.objects.filter(sha256=sha256).exists():
                path_of(sha256).unlink(missing_ok=True)


def lock_bytes(sha256: str) -> None:
    """Lets only this transaction store or delete these bytes. Others wait until it ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [sha256])


def _extension(filename: str) -> str:
    """Returns the file type by the name. Reading the file corrects it."""
    return Path(filename).suffix.removeprefix(".").lower()[:20]
