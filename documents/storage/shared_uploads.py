"""Whether this machine sees the uploaded files. All machines with workers must share the folder `DATA_DIR/uploads`."""

import os

from documents.models import Document, path_of

NEWEST = 10
"""At least half of this many documents must be here: one file may be lost, and a folder may be an old copy."""
REASON = (
    "This machine does not see the uploaded files: share DATA_DIR/uploads with the web server's machine,"
    " see docs/production.md."
)


def is_here(sha256: str) -> bool:
    return os.access(path_of(sha256), os.R_OK)


def missing_reason() -> str:
    """Returns an empty string if the files are here, or if there are none yet."""
    newest = Document.objects.order_by("-uid").values_list("sha256", flat=True)[:NEWEST]
    found = [is_here(sha256) for sha256 in newest]
    return REASON if found and 2 * sum(found) < len(found) else ""
