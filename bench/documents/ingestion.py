"""The figures for reading files. Each function yields names and records."""

import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import run_environment
from bench.documents import bulk_job
from bench.documents.bulk_job import Bulk
from bench.documents.corpus import Corpus, CorpusFile, PhraseHits, shuffled_copies

Record = dict[str, Any]
Named = Iterator[tuple[str, Record]]

OCR_PYTHON = run_environment.ROOT / ".venv-bench-ocr" / "bin" / "python"
COPIES = bulk_job.HOME / "copies"
PDF_COPIES = 4
RUNNERS = 5


def good(corpus: Corpus) -> Named:
    yield "without OCR", _good(corpus, corpus.good(), run_environment.PYTHON)
    if OCR_PYTHON.exists():
        yield "with OCR", _good(corpus, corpus.good(scanned=True), OCR_PYTHON)
    else:
        yield "with OCR", {"skipped": f"{OCR_PYTHON} is not there"}


def _good(corpus: Corpus, rows: Sequence[CorpusFile], python: Path) -> Record:
    bulk_job.prepare()
    with bulk_job.worker(python) as pid:
        bulk = bulk_job.ingest(pid, [row.path for row in rows])
    hits = _hits(corpus, rows, bulk)
    wrong = [f"{row.name}: {file.code}" for row, file in zip(rows, bulk.files, strict=True) if file.code != "ok"]
    return {**bulk.figures, **_phrase_counts(hits), "wrong": wrong}


def bad(corpus: Corpus) -> Named:
    """Reads all bad files in one job, two at a time. Samples the memory every 20 ms."""
    bulk_job.prepare()
    rows = corpus.bad()
    with bulk_job.worker() as pid:
        bulk = bulk_job.ingest(pid, [row.path for row in rows], every=0.02)
    ends = list(zip(rows, bulk.files, strict=True))
    wrong = [f"{row.name}: {file.code}" for row, file in ends if not row.may_end_with(file.code)]
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
    """Reads copies of each PDF with PDFium alone and with the application, in one and in two processes, in turns."""
    rows = [row for row in corpus.good() if row.format == "pdf"]
    every = list(shuffled_copies(rows, PDF_COPIES * len(rows), COPIES / "pdf"))
    real = [path for row, path in every if "synthetic" not in row.tags]
    for repeat in range(repeats):
        for kind, paths in (("all", [path for _, path in every]), ("without the made-up one", real)):
            for processes in (1, 2):
                yield f"bare, {processes}, {kind}", {"repeat": repeat, **_pdfium_alone(processes, paths)}
                bulk_job.prepare()
                with bulk_job.worker(CHILDREN=str(processes)) as pid:
                    bulk = bulk_job.ingest(pid, paths, every=1)
                yield f"ours, {processes}, {kind}", {"repeat": repeat, **bulk.figures}


def _pdfium_alone(processes: int, paths: Iterable[Path]) -> Record:
    command = [str(run_environment.PYTHON), "-m", "bench.documents.bare_pdfium", str(processes), *map(str, paths)]
    done = subprocess.run(
        command,
        cwd=run_environment.ROOT,
        env=run_environment.child_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    record: Record = json.loads(done.stdout)
    return record


def mixed(corpus: Corpus, number: int) -> Named:
    """Compares a worker with one child and with two. Then five workers read one job."""
    every = mixed_files(corpus, number)
    rows, paths = [row for row, _ in every], [path for _, path in every]
    for children in (1, 2):
        bulk_job.prepare()
        with bulk_job.worker(CHILDREN=str(children)) as pid:
            bulk = bulk_job.ingest(pid, paths)
        yield f"children {children}", {**bulk.figures, **_phrase_counts(_hits(corpus, rows, bulk)), **concurrency(bulk)}
    bulk_job.prepare()
    with bulk_job.worker(WORKERS=str(RUNNERS)) as pid:
        bulk = bulk_job.ingest(pid, paths, max_parallel=5)
    yield "window", {**bulk.figures, **concurrency(bulk)}


def mixed_files(corpus: Corpus, number: int) -> list[tuple[CorpusFile, Path]]:
    return list(shuffled_copies(corpus.good(), number, COPIES / "mixed"))


def concurrency(bulk: Bulk) -> Record:
    """Returns how many files were read at once at most, and for what share of the time until the last one began."""
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


def _hits(corpus: Corpus, rows: Iterable[CorpusFile], bulk: Bulk) -> PhraseHits:
    """Adds up the phrases of all files. Nothing is found in a file that was not indexed."""
    total = PhraseHits()
    for row, file in zip(rows, bulk.files, strict=True):
        total += corpus.hits(row, bulk_job.pages_of(file.document) if file.code == "ok" else [])
    return total


def _phrase_counts(hits: PhraseHits) -> Record:
    return {
        "found": hits.found,
        "phrases": hits.phrases,
        "on_page": hits.on_page,
        "with_page": hits.with_page,
        "missing": sorted(set(hits.missing)),
    }
