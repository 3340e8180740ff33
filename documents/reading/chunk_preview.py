"""A preview of the chunks that a document would have with another size and overlap."""

import asyncio
import json
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from documents.models import Document
from documents.text.chunker import Chunk
from workflows.errors import ChildFailed
from workflows.worker.sandbox.client import Sandbox
from workflows.worker.sandbox.confinement import ChildFiles

MAX_SHOWN = 10
SECONDS = 30
RECHUNK = "documents.reading.rechunking:rechunk_in_child"

# One at a time: the tokenizer takes 150 MB, in a process that ends with the preview.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Preview:
    """`chunks` are the first of `count` chunks. `tokens` is the mean size of all, in the requested unit."""

    count: int
    tokens: int
    chunks: list[Chunk]


def preview(document: Document, *, chunk_size: int, overlap: int, unit: str = "tokens") -> Preview:
    """Chunks the indexed text anew. Takes a second or more. Raises ChildFailed and ChildCrashed."""
    pages = list(document.current_pages().order_by("number").values_list("text", flat=True))
    with tempfile.TemporaryDirectory(prefix="preview-") as folder, _one_at_a_time:
        source, output = Path(folder) / "pages.json", Path(folder) / "chunks.json"
        source.write_text(json.dumps({"pages": pages}), encoding="utf-8")
        arguments = {"input": str(source), "output": str(output), "chunkSize": chunk_size, "overlap": overlap}
        asyncio.run(_in_child({**arguments, "unit": unit}, ChildFiles(folder=folder)))
        chunks: list[list[Any]] = json.loads(output.read_text(encoding="utf-8"))["chunks"]
    sizes = [chunk[5] for chunk in chunks]
    shown = [Chunk(*values) for values in chunks[:MAX_SHOWN]]
    return Preview(len(chunks), sum(sizes) // max(len(sizes), 1), shown)


async def _in_child(arguments: dict[str, Any], files: ChildFiles) -> None:
    sandbox = Sandbox(memory=settings.CONFIG.child_memory_mb << 20, seconds=SECONDS)
    try:
        await sandbox.run(RECHUNK, arguments, files=files)
    except ChildFailed as error:
        if error.code == "timed_out":
            raise ChildFailed("Splitting the text took too long: choose larger chunks.", code=error.code) from error
        raise
    finally:
        sandbox.close()
