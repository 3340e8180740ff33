"""The file that carries the head of the chain elsewhere: AUDIT_HEAD_FILE, one head a line."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiworkstation.audit.chain import Head, head

logger = logging.getLogger(__name__)

PUBLISH_EVERY = timedelta(minutes=1)


def publish_head(path: str) -> bool:
    """Appends the head if it is new and the last one is a minute old. Returns whether it did."""
    newest = head() if path else None
    if newest is None:
        return False
    file = Path(path)
    try:
        if file.exists() and _is_fresh(file, newest):
            return False
        with file.open("a", encoding="utf-8") as lines:
            lines.write(f"{newest}\n")
    except OSError as error:
        logger.error("AUDIT_HEAD_FILE: cannot write to %s: %s", path, error)
        return False
    return True


def read_heads(path: Path) -> list[Head]:
    """Raises ValueError if a line is not a head."""
    return [Head.parse(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _is_fresh(file: Path, newest: Head) -> bool:
    age = datetime.now(UTC) - datetime.fromtimestamp(file.stat().st_mtime, UTC)
    if age < PUBLISH_EVERY:
        return True
    with file.open("rb") as lines:
        # The last line only: the file grows for ever.
        lines.seek(max(0, file.stat().st_size - 200))
        return lines.read().decode(errors="replace").rstrip().endswith(str(newest))
