"""Cuts the pages of a document into chunks, also anew for one that was read before.

Like the pipeline, it runs in a child process. It imports no parser, so a preview of chunks loads none.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from documents.errors import TooComplex
from documents.parsers import Report
from documents.text.chunker import CHUNK_SIZE, OVERLAP, chunk_pages, token_sizes


def preload() -> None:
    """Loads the tokenizer once, in the process that forks the children."""
    token_sizes()


def ignore_progress(done: int, total: int) -> None:
    """A `Report` for callers that show no progress."""


def rechunk(
    pages: Sequence[str], *, chunk_size: int = CHUNK_SIZE, overlap: int = OVERLAP, unit: str = "tokens"
) -> list[list[Any]]:
    """Returns the chunks of pages, each as `[index, page, start, end, text, tokens]`. Raises TooComplex."""
    with memory_as_error():
        chunks = chunk_pages(pages, size=chunk_size, overlap=overlap, unit=unit)
        return [list(vars(chunk).values()) for chunk in chunks]


def rechunk_in_child(arguments: dict[str, Any], report: Report = ignore_progress) -> dict[str, Any]:
    """Chunks the `pages` in the JSON file `input` and writes `{"chunks"}` to `output`. Returns counts.

    Sizes are in the `unit`, by default tokens.
    """
    pages = json.loads(Path(arguments["input"]).read_text(encoding="utf-8"))["pages"]
    unit = arguments.get("unit", "tokens")
    chunks = rechunk(pages, chunk_size=arguments["chunkSize"], overlap=arguments["overlap"], unit=unit)
    write_json({"chunks": chunks}, Path(arguments["output"]))
    report(len(pages), len(pages))
    return {"pages": len(pages), "chunks": len(chunks)}


@contextmanager
def memory_as_error() -> Iterator[None]:
    """Turns MemoryError and RecursionError into TooComplex. It drops the traceback, whose frames keep the memory."""
    try:
        yield
    except (MemoryError, RecursionError) as error:
        raise TooComplex() from error.with_traceback(None)


def write_json(result: dict[str, Any], output: Path) -> None:
    """Replaces the file in one step: an earlier result stays until the new one is complete."""
    part = output.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(result, file, ensure_ascii=False)
    part.replace(output)
