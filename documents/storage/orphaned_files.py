"""Bytes that no document names any more: what a deleted user leaves, and what a crash leaves behind an upload.

Nothing else takes them away: `storage.delete` looks after the documents that it deletes, and no others.
"""

import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction

from documents.models import Document, path_of
from documents.storage.stored_files import lock_bytes

AGE_SECONDS = 24 * 3600.0
"""Younger files may be those of an upload that goes on."""
MIN_FILES = 20
MAX_SHARE = 0.5

_HASH = re.compile(r"[0-9a-f]{64}")
logger = logging.getLogger(__name__)


class Suspicious(Exception):
    """Most of the stored files belong to no document of this database: is it the right one for this DATA_DIR?"""


@dataclass(frozen=True, slots=True)
class Swept:
    """What went, or would go."""

    files: int
    bytes: int


def sweep(*, dry_run: bool = False, even_most: bool = False) -> Swept:
    """Deletes files that nobody has a document of, and parts of uploads that broke off, when they are a day old.

    Raises Suspicious, and has then deleted nothing, when they are more than half of all: an empty database beside
    another one's uploads would take them all. `even_most` is for who knows better.
    """
    stored, orphans = 0, []
    for folder in sorted(Path(settings.MEDIA_ROOT).glob("[0-9a-f][0-9a-f]")):
        files = [path for path in folder.iterdir() if _HASH.fullmatch(path.name)]
        stored += len(files)
        orphans += _orphans(files)
    if len(orphans) > max(MIN_FILES, MAX_SHARE * stored) and not even_most:
        raise Suspicious(f"{Suspicious.__doc__} {len(orphans):,} of {stored:,} files; none was deleted.")
    sizes = [*_removed(orphans, dry_run), *_removed_parts(dry_run)]
    return Swept(len(sizes), sum(sizes))


def _orphans(files: list[Path]) -> list[Path]:
    old = {path.name: path for path in files if _is_old(path)}
    named = Document.objects.filter(sha256__in=old).values_list("sha256", flat=True)
    return [old[sha256] for sha256 in sorted(old.keys() - set(named))]


def _is_old(path: Path) -> bool:
    """Of bytes that were uploaded again, the later upload counts."""
    try:
        return path.stat().st_mtime < time.time() - AGE_SECONDS
    except FileNotFoundError:
        return False


def _removed(orphans: list[Path], dry_run: bool) -> Iterator[int]:
    """Their sizes. Under the lock of the bytes no upload of the same is half done."""
    for path in orphans:
        with transaction.atomic():
            lock_bytes(path.name)
            if not Document.objects.filter(sha256=path.name).exists():
                yield from _removed_file(path_of(path.name), dry_run)


def _removed_parts(dry_run: bool) -> Iterator[int]:
    for path in (Path(settings.MEDIA_ROOT) / "incoming").glob("*"):
        if _is_old(path):
            yield from _removed_file(path, dry_run)


def _removed_file(path: Path, dry_run: bool) -> Iterator[int]:
    try:
        size = path.stat().st_size
        if not dry_run:
            path.unlink()
    except FileNotFoundError:  # a deletion was quicker
        return
    yield size


def sweep_daily() -> str:
    """What the schedule calls; its result stands in django-q2's row of the task."""
    try:
        return str(sweep())
    except Suspicious as error:
        logger.error("%s `manage.py sweep_uploads --even-most` deletes them.", error)
        raise
