"""The SECRET_KEY of a machine whose settings have none: generated once and stored in DATA_DIR."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path


def path(data_dir: Path) -> Path:
    return data_dir / "secret_key"


def read(data_dir: Path) -> str:
    """Returns the stored key, or "" if there is none."""
    try:
        return path(data_dir).read_text().strip()
    except FileNotFoundError:
        return ""


def ensure(data_dir: Path) -> None:
    """Generates a key if none is stored. If two processes do so at once, the first one's key stays."""
    if read(data_dir):
        return
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=data_dir, prefix=".secret_key.") as new:  # its mode is 0600
        new.write(secrets.token_urlsafe(50))
        new.flush()
        # Unlike a rename, a link never replaces a file: the first process wins, and nobody reads half a key.
        with suppress(FileExistsError):
            os.link(new.name, path(data_dir))
