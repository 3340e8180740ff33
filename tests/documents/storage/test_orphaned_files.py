"""Bytes without a document."""

import os
import time
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django_q.models import Schedule

from documents.models import Document
from documents.storage import orphaned_files
from documents.storage.orphaned_files import Suspicious, Swept, sweep, sweep_daily
from tests.support.documents import upload

DAY = 24 * 3600


def aged(path: Path) -> Path:
    os.utime(path, (time.time() - 2 * DAY,) * 2)
    return path


def call(*arguments: str) -> str:
    output = StringIO()
    call_command("sweep_uploads", *arguments, stdout=output)
    return output.getvalue()


def test_what_a_deleted_user_leaves_goes(alice: User, bob: User) -> None:
    hers, shared = aged(upload(alice, "Hers.").path), aged(upload(alice, "Theirs.").path)
    upload(bob, "Theirs.")
    aged(shared)
    alice.delete()
    assert hers.exists(), "a cascade deletes rows alone"
    assert "Would delete 1 files of 5 bytes" in call("--dry-run")
    assert hers.exists()
    assert "Deleted 1 files of 5 bytes" in call()
    assert not hers.exists()
    assert shared.read_text() == "Theirs."
    assert sweep() == Swept(0, 0)


def test_young_ones_stay(alice: User) -> None:
    path = upload(alice, "Hers.").path
    Document.objects.all().delete()
    assert sweep() == Swept(0, 0)
    assert path.exists()


def test_parts_of_uploads_that_broke_off(media: Path) -> None:
    incoming = media / "incoming"
    incoming.mkdir(parents=True)
    old, young = incoming / "old", incoming / "young"
    for path in (old, young):
        path.write_text("half a fi")
    aged(old)
    assert sweep() == Swept(1, 9)
    assert not old.exists()
    assert young.exists()


def test_strangers_stay(media: Path, db: None) -> None:
    (media / "ab").mkdir(parents=True)
    stranger = aged_file(media / "ab" / "notes.txt")
    assert sweep() == Swept(0, 0)
    assert stranger.exists()


def aged_file(path: Path) -> Path:
    path.write_text("x")
    return aged(path)


def test_a_wrong_database_takes_nothing(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty database, set by mistake, must not delete the uploads of another one."""
    monkeypatch.setattr(orphaned_files, "MIN_FILES", 2)
    paths = [aged(upload(alice, str(number)).path) for number in range(3)]
    Document.objects.all().delete()
    with pytest.raises(Suspicious, match="3 of 3 files"):
        sweep()
    with pytest.raises(Suspicious):
        sweep_daily()
    with pytest.raises(CommandError, match="--even-most"):
        call()
    assert all(path.exists() for path in paths)
    assert "Deleted 3 files" in call("--even-most")
    assert not any(path.exists() for path in paths)


def test_bytes_that_get_a_document_meanwhile_stay(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads the same bytes after the folders were listed and before the lock."""
    path = aged(upload(alice, "Hers.").path)
    Document.objects.all().delete()
    found = orphaned_files._orphans

    def late(files: list[Path]) -> list[Path]:
        orphans = found(files)
        upload(alice, "Hers.")
        return orphans

    monkeypatch.setattr(orphaned_files, "_orphans", late)
    assert sweep() == Swept(0, 0)
    assert path.exists()


def test_nothing_is_stored_yet(db: None) -> None:
    assert sweep() == Swept(0, 0)


def test_a_schedule_sweeps_daily(db: None) -> None:
    schedule = Schedule.objects.get(func="documents.storage.orphaned_files.sweep_daily")
    assert schedule.schedule_type == Schedule.DAILY
