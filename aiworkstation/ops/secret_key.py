"""The SECRET_KEY of a machine that was given none: made once, and kept in DATA_DIR."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path


def kept(data_dir: Path) -> str:
    """The kept key, or nothing."""
    try:
        return (data_dir / "secret_key").read_text().strip()
    except FileNotFoundError:
        return ""


def ensure(data_dir: Path) -> None:
    """Make a key where none is kept. Of two that do so at once, the first one's stays."""
    if kept(data_dir):
        return
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=data_dir, prefix=".secret_key.") as new:  # made with mode 0600
        new.write(secrets.token_urlsafe(50))
        new.flush()
        with suppress(FileExistsError):
            os.link(new.name, data_dir / "secret_key")
