"""The figures of reading files: each a function that yields a name and its record."""

import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import place
from bench.documents import product
from bench.documents.corpus import Corpus, Hits, Row, copies
from bench.documents.product import Bulk

Record = dict[str, Any]
Named = Iterator[tuple[str, Record]]

OCR_PYTHON = place.ROOT / ".venv-bench-ocr" / "bin" / "python"
COPIES = product.HOME / "copies"
PDF_COPIES = 4
RUNNERS = 5


def good(corpus: Corpus) -> Named:
    yield "without OCR", _good(corpus, corpus.good(), place.PYTHON)
    if OCR_PYTHON.exists():
        yield "with OCR", _good(corpus, corpus.good(scanned=True), OCR_PYTHON)
    else:
        yield "with OCR", {"skipped": f"{OCR_PYTHON} is not there"}


def _good(corpus: Corpus, rows: Sequence[Row], python: Path) -> Record:
    product.prepare()
    with product.worker(python) as pid:
        bulk = product.ingest(pid, [row.path for row in rows])
    hits = _hits(corpus, rows, bulk)
    wrong = [f"{row.name}: {file.code}" for row, file in zip(rows, bulk.files, strict=True) if file.code != "ok"]
    return {**bulk.figures, **_shown(hits), "wrong": wrong}


def bad(corpus: Corpus) -> Named:
    """All of them in one job, two at a time; memory is looked at every 20 ms."""
    product.prepare()
    rows = corpus.bad()
    with product.worker() as pid:
        bulk = product.ingest(pid, [row.path for row in rows], every=0.02)
    ends = list(zip(rows, bulk.files, strict=True))
    wrong = [f"{row.name}: {file.code}" for row, file in ends if not row.takes(file.code)]
    longest = max(bulk.files, key=lambda file: file.finished - file.started)
    yield (
        "",
        {
            **bulk.figures,
            "right": len(rows) - len(wrong),
            "wrong": wrong,
            "longest": longest.name,
            "longest_seconds": longest.finished - longest.started,
        },
    )


def pages(corpus: Corpus, repeats: int) -> Named:
    """The PDFs, `PDF_COPIES` of each, by the bare extractor and by us, one and two at a time, in turns."""
    rows = [row for row in corpus.good() if row.format == "pdf"]
    every = list(copies(rows, PDF_COPIES * len(rows), COPIES / "pdf"))
    real = [path for row, path in every if "synthetic" not in row.tags]
    for repeat in range(repeats):
        for kind, paths in (("all", [path for _, path in every]), ("without the made-up one", real)):
            for processes in (1, 2):
                yield f"bare, {processes}, {kind}", {"repeat": repeat, **_bare(processes, paths)}
                product.prepare()
                with product.worker(CHILDREN=str(processes)) as pid:
                    bulk = product.ingest(pid, paths, every=1)
                yield f"ours, {processes}, {kind}", {"repeat": repeat, **bulk.figures}


def _bare(processes: int, paths: Iterable[Path]) -> Record:
    command = [str(place.PYTHON), "-m", "bench.documents.bare", str(processes), *map(str, paths)]
    done = subprocess.run(command, cwd=place.ROOT, env=place.environment(), capture_output=True, text=True, check=True)
    record: Record = json.loads(done.stdout)
    return record


def mixed(corpus: Corpus, number: int) -> Named:
    """A worker with one child against one with two; then five workers for one job."""
    every = mixed_files(corpus, number)
    rows, paths = [row for row, _ in every], [path for _, path in every]
    for children in (1, 2):
        product.prepare()
        with product.worker(CHILDREN=str(children)) as pid:
            bulk = product.ingest(pid, paths)
        yield f"children {children}", {**bulk.figures, **_shown(_hits(corpus, rows, bulk)), **running(bulk)}
    product.prepare()
    with product.worker(WORKERS=str(RUNNERS)) as pid:
        bulk = product.ingest(pid, paths, max_parallel=5)
    yield "window", {**bulk.figures, **running(bulk)}


def mixed_files(corpus: Corpus, number: int) -> list[tuple[Row, Path]]:
    return list(copies(corpus.good(), number, COPIES / "mixed"))


def running(bulk: Bulk) -> Record:
    """How many files were being read at once at the most, and for which share of the time, until the last one began."""
    spans = [(file.started, file.finished) for file in bulk.files if file.finished]
    last = max(started for started, _ in spans)
    events = sorted([(started, 1) for started, _ in spans] + [(finished, -1) for _, finished in spans])
    spent: dict[int, float] = {}
    now, count = 0.0, 0
    for at, change in events:
        spent[count] = spent.get(count, 0.0) + min(at, last) - min(now, last)
        now, count = at, count + change
    most = max(spent)
    return {"most_at_once": most, "share_at_most": spent[most] / last if last else 1.0}


def _hits(corpus: Corpus, rows: Iterable[Row], bulk: Bulk) -> Hits:
    """Of files that were not indexed too: nothing is found in them."""
    total = Hits()
    for row, file in zip(rows, bulk.files, strict=True):
        total += corpus.hits(row, product.pages_of(file.document) if file.code == "ok" else [])
    return total


def _shown(hits: Hits) -> Record:
    return {
        "found": hits.found,
        "phrases": hits.phrases,
        "on_page": hits.on_page,
        "with_page": hits.with_page,
        "missing": sorted(set(hits.missing)),
    }
