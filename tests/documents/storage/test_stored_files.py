import hashlib
from io import BytesIO
from pathlib import Path
from unittest.mock import patch

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from pytest_django import DjangoCaptureOnCommitCallbacks

from aiworkstation.audit.models import AuditEvent
from documents.errors import DocumentError, Empty, TooLarge
from documents.models import Document, DocumentStatus
from documents.storage import stored_files
from tests.support.documents import new_step, upload

TEXT = "Hello world."


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_it_works(alice: User, media: Path) -> None:
    document = upload(
        alice, TEXT, "Résumé № 5.TXT", client_id="doc1", project_id="p", tags=["a", "b", "a"], mode="Sales"
    )
    document.refresh_from_db()
    assert document.status == DocumentStatus.UPLOADED
    assert (document.client_id, document.filename, document.file_type) == ("doc1", "Résumé № 5.TXT", "txt")
    assert (document.project_id, document.tags, document.mode) == ("p", ["a", "b"], "Sales")
    assert (document.file_size, document.sha256) == (len(TEXT), hashlib.sha256(TEXT.encode()).hexdigest())
    assert document.path.read_text() == TEXT
    assert files(media) == [document.path]
    event = AuditEvent.objects.get(action="document.uploaded")
    assert (event.actor, event.object) == ("alice", f"document:{document.uid}")


def test_without_an_id_it_makes_one(alice: User) -> None:
    document = upload(alice)
    assert document.client_id == str(document.uid)


@pytest.mark.parametrize("client_id", ["", "a b", "ä", "x" * 65, "a/b", "doc1\n"])
def test_a_bad_id_is_refused(alice: User, client_id: str) -> None:
    with pytest.raises(stored_files.BadId):
        upload(alice, client_id=client_id)


def test_an_id_is_unique_per_owner(alice: User, bob: User) -> None:
    upload(alice, client_id="doc1")
    upload(bob, client_id="doc1")
    with pytest.raises(stored_files.IdTaken):
        upload(alice, "other bytes", client_id="doc1")
    assert Document.objects.count() == 2


UNSAFE = ["", " ", ".", "..", "../x.txt", "a/b.txt", "a\\b.txt", "C:\\x", "x" * 256]
UNSAFE += ["a\0.txt", "a\nb", "a\x7f", "a\u202ecod.exe", "a\ud800"]


@pytest.mark.parametrize("name", UNSAFE)
def test_an_unsafe_name_is_refused(alice: User, media: Path, name: str) -> None:
    with pytest.raises(stored_files.UnsafeName):
        upload(alice, filename=name)
    assert not files(media)


@pytest.mark.parametrize("name", ["x" * 255, "...", "a..b.txt", "~x", "$(rm -rf).txt", "报告.pdf", "نص\u200f.txt"])
def test_an_unusual_name_is_kept_as_it_is(alice: User, name: str) -> None:
    document = upload(alice, filename=name)
    document.refresh_from_db()
    assert document.filename == name


def test_an_empty_file_is_refused(alice: User, media: Path) -> None:
    with pytest.raises(Empty):
        upload(alice, b"")
    assert not files(media)


def test_a_file_that_is_too_large_is_refused_before_it_is_read_to_its_end(alice: User, media: Path) -> None:
    endless = BytesIO(b"x" * (5 << 20))
    with patch.object(settings.CONFIG, "max_upload_mb", 2), pytest.raises(TooLarge):
        stored_files.store(alice, "large.txt", endless)
    assert endless.tell() <= 3 << 20
    assert not files(media)


def test_a_users_total_is_limited(alice: User, bob: User, media: Path) -> None:
    with patch.object(settings.CONFIG, "user_quota_mb", 1):
        upload(alice, b"a" * 600_000)
        with pytest.raises(stored_files.OverQuota):
            upload(alice, b"b" * 600_000)
        upload(bob, b"b" * 600_000)
    assert len(files(media)) == 2


def test_the_same_bytes_are_stored_once(alice: User, media: Path) -> None:
    first, second, third = (upload(alice) for _ in range(3))
    assert second.duplicate_of == third.duplicate_of == first
    assert first.duplicate_of is None
    assert len(files(media)) == 1


def test_nobody_learns_that_another_user_has_the_same_bytes(alice: User, bob: User, media: Path) -> None:
    upload(alice)
    assert upload(bob).duplicate_of is None
    assert len(files(media)) == 1


def test_nothing_is_left_behind_when_reading_the_upload_fails(alice: User, media: Path) -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("connection reset")

    with pytest.raises(OSError, match="reset"):
        stored_files.store(alice, "x.txt", Broken())
    assert not files(media)
    assert not Document.objects.exists()


def test_delete(alice: User, media: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks) -> None:
    document = upload(alice)
    with django_capture_on_commit_callbacks(execute=True):
        stored_files.delete(document, alice)
    assert not Document.objects.exists()
    assert not files(media)
    assert AuditEvent.objects.get(action="document.deleted").object == f"document:{document.uid}"


def test_the_bytes_stay_while_another_document_has_them(
    alice: User, bob: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    hers, his = upload(alice), upload(bob)
    with django_capture_on_commit_callbacks(execute=True):
        stored_files.delete(hers, alice)
    assert his.path.read_text() == TEXT


def test_duplicates_get_a_new_original(alice: User) -> None:
    first, second, third = (upload(alice) for _ in range(3))
    stored_files.delete(first, alice)
    second.refresh_from_db()
    third.refresh_from_db()
    assert second.duplicate_of is None
    assert third.duplicate_of == second


def test_members_go_with_their_document(
    alice: User, media: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    archive, member, inner = upload(alice, "a"), upload(alice, "b"), upload(alice, "c")
    Document.objects.filter(pk=member.pk).update(parent=archive)
    Document.objects.filter(pk=inner.pk).update(parent=member)
    with django_capture_on_commit_callbacks(execute=True):
        stored_files.delete(archive, alice)
    assert not Document.objects.exists()
    assert not files(media)


@pytest.mark.parametrize("status", ["pending", "ready", "waiting"])
def test_a_document_that_a_job_works_on_stays(alice: User, status: str) -> None:
    document = upload(alice)
    step = new_step(alice)
    type(step).objects.filter(pk=step.pk).update(status=status)
    Document.objects.filter(pk=document.pk).update(step=step)
    with pytest.raises(stored_files.BeingWorkedOn):
        stored_files.delete(document, alice)
    type(step).objects.filter(pk=step.pk).update(status="completed")
    stored_files.delete(document, alice)


def test_every_refusal_says_what_to_do() -> None:
    for kind in (
        stored_files.OverQuota,
        stored_files.UnsafeName,
        stored_files.BadId,
        stored_files.IdTaken,
        stored_files.BeingWorkedOn,
    ):
        assert issubclass(kind, DocumentError)
        assert kind().message.endswith(".")
