"""One document in a process with limits, as in production. Preloaded by the fork server: each child starts warm."""

import json
import resource
from pathlib import Path

from documents.chunking import encoding
from documents.errors import DocumentError
from documents.pipeline import read_in_child

MEMORY_BYTES = 1_500_000_000

encoding()


def read_limited(path: Path, output: Path) -> None:
    """Write `{"code", "message"}` to `output`, or what `read` gives, with the code "ok"."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    arguments = {"path": path, "filename": path.name, "chunkSize": 500, "overlap": 100, "output": output}
    try:
        read_in_child(arguments)
    except DocumentError as error:
        output.write_text(json.dumps({"code": error.code, "message": error.message}))
    else:
        output.write_text(json.dumps({"code": "ok", **json.loads(output.read_text())}))
