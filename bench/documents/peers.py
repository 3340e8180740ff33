"""The mixed files read by others: each in processes of its own, two at a time as ours, for so many seconds at most."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import place
from bench.documents.corpus import Corpus, Hits, Row
from bench.documents.memory import Peak

PYTHON = place.ROOT / ".venv-bench-documents" / "bin" / "python"
SCRIPT = place.ROOT / "bench" / "peers" / "readers.py"
WITHOUT_PAGES = {"markitdown"}
NAMES = ("markitdown", "unstructured", "docling")
SECONDS = 150.0
SHOWN_ERRORS = 200

Record = dict[str, Any]


def race(corpus: Corpus, files: Sequence[tuple[Row, Path]], name: str) -> Record:
    """What was read within the time, of the files in their order. One that was begun and not ended does not count."""
    if not PYTHON.exists():
        return {"skipped": f"{PYTHON} is not there"}
    out = place.BASE / f"read-by-{name}"
    command = [str(PYTHON), str(SCRIPT), name, str(SECONDS), str(out)]
    with (place.BASE / "peers.log").open("ab") as log:
        peer = subprocess.Popen(
            command, env=place.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
        with Peak(peer.pid, every=0.5) as peak:
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


def _score(corpus: Corpus, files: Sequence[tuple[Row, Path]], readings: list[dict[str, Any]]) -> Record:
    rows = {str(path): row for row, path in files}
    hits, errors = Hits(), {}
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
