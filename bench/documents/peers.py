"""Other libraries read the mixed files, each in two processes of its own and for at most `SECONDS`."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import run_environment
from bench.documents.corpus import Corpus, CorpusFile, PhraseHits
from bench.documents.peak_memory import PeakMemory

PYTHON = run_environment.ROOT / ".venv-bench-documents" / "bin" / "python"
SCRIPT = run_environment.ROOT / "bench" / "peers" / "document_readers.py"
WITHOUT_PAGES = {"markitdown"}
NAMES = ("markitdown", "unstructured", "docling")
SECONDS = 150.0
SHOWN_ERRORS = 200

Record = dict[str, Any]


def read_files(corpus: Corpus, files: Sequence[tuple[CorpusFile, Path]], name: str) -> Record:
    """Returns what the peer read within the time. A file that it did not finish does not count."""
    if not PYTHON.exists():
        return {"skipped": f"{PYTHON} is not there"}
    out = run_environment.BASE / f"read-by-{name}"
    command = [str(PYTHON), str(SCRIPT), name, str(SECONDS), str(out)]
    with (run_environment.BASE / "peers.log").open("ab") as log:
        peer = subprocess.Popen(
            command,
            env=run_environment.child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        with PeakMemory(peer.pid, every=0.5) as peak:
            said, _ = peer.communicate("\n".join(str(path) for _, path in files))
    if peer.returncode:
        return {"failed": f"exit {peer.returncode}; see {log.name}"}
    ended = json.loads(said.splitlines()[-1])
    readings = [json.loads(line) for part in (0, 1) for line in Path(f"{out}.{part}").read_text("utf-8").splitlines()]
    return {
        **_score(corpus, files, readings),
        **({"on_page": 0, "with_page": 0} if name in WITHOUT_PAGES else {}),
        "seconds": ended["seconds"],
        "files_a_minute": len(readings) / ended["seconds"] * 60,
        "peak_mb": peak.tree_mb,
        "versions": ended["versions"],
    }


def _score(corpus: Corpus, files: Sequence[tuple[CorpusFile, Path]], readings: list[dict[str, Any]]) -> Record:
    rows = {str(path): row for row, path in files}
    hits, errors = PhraseHits(), {}
    for reading in readings:
        row = rows[reading["path"]]
        hits += corpus.hits(row, reading.get("pages", []), is_markdown=True)
        if "error" in reading:
            errors[row.name] = " ".join(reading["error"].split())[:SHOWN_ERRORS]
    return {
        "files": len(readings),
        "failed_files": sum("error" in reading for reading in readings),
        "chunks": sum(reading.get("chunks", 0) for reading in readings),
        "found": hits.found,
        "phrases": hits.phrases,
        "on_page": hits.on_page,
        "with_page": hits.with_page,
        "errors": errors,
    }
