"""Deletes stored files that belong to no document: the files of deleted users, and leftovers of crashed uploads.

Nothing else deletes them: `stored_files.delete` only removes the bytes of the documents that it deletes.
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
"""Younger files may belong to an upload that is still running."""
MIN_FILES = 20
MAX_SHARE = 0.5

_HASH = re.compile(r"[0-9a-f]{64}")
logger = logging.getLogger(__name__)


class Suspicious(Exception):
    """Most of the stored files belong to no document of this database: is it the right one for this DATA_DIR?"""


@dataclass(frozen=True, slots=True)
class Swept:
    """How many files, and how many bytes, were deleted or would be."""

    files: int
    bytes: int


def sweep(*, dry_run: bool = False, even_most: bool = False) -> Swept:
    """Deletes files without a document, and parts of interrupted uploads, that are more than a day old.

    Raises Suspicious and deletes nothing if they are more than half of all files: with a wrong or empty database it
    would delete every upload. `even_most` skips this check.
    """
    stored, orphans = 0, []
    for folder in sorted(Path(settings.MEDIA_ROOT).glob("[0-9a-f][0-9a-f]")):
        files = [path for path in folder.iterdir() if _HASH.fullmatch(path.name)]
        stored += len(files)
        orphans += _orphans(files)
    if len(orphans) > max(MIN_FILES, MAX_SHARE * stored) and not even_most:
        raise Suspicious(f"{Suspicious.__doc__} {len(orphans):,} of {stored:,} files; none was deleted.")
    sizes = [*_delete_orphans(orphans, dry_run), *_delete_parts(dry_run)]
    return Swept(len(sizes), sum(sizes))


def _orphans(files: list[Path]) -> list[Path]:
    old = {path.name: path for path in files if _is_old(path)}
    named = Document.objects.filter(sha256__in=old).values_list("sha256", flat=True)
    return [old[sha256] for sha256 in sorted(old.keys() - set(named))]


def _is_old(path: Path) -> bool:
    """Whether a day has passed since the last upload of these bytes, which replaces the file."""
    try:
        return path.stat().st_mtime < time.time() - AGE_SECONDS
    except FileNotFoundError:
        return False


def _delete_orphans(orphans: list[Path], dry_run: bool) -> Iterator[int]:
    """Yields the sizes of the deleted files. The lock keeps an upload of the same bytes from running meanwhile."""
    for path in orphans:
        with transaction.atomic():
            lock_bytes(path.name)
            if not Document.objects.filter(sha256=path.name).exists():
                yield from _delete_file(path_of(path.name), dry_run)


def _delete_parts(dry_run: bool) -> Iterator[int]:
    for path in (Path(settings.MEDIA_ROOT) / "incoming").glob("*"):
        if _is_old(path):
            yield from _delete_file(path, dry_run)


def _delete_file(path: Path, dry_run: bool) -> Iterator[int]:
    try:
        size = path.stat().st_size
        if not dry_run:
            path.unlink()
    except FileNotFoundError:  # deleted meanwhile
        return
    yield size


def sweep_daily() -> str:
    """Sweeps once. A schedule calls this every day; the result is stored in django-q2's row of the task."""
    try:
        return str(sweep())
    except Suspicious as error:
        logger.error("%s `manage.py sweep_uploads --even-most` deletes them.", error)
        raise
