import json
import subprocess
import sys
from pathlib import Path

from documents.reading.pipeline import read
from documents.reading.rechunking import rechunk, rechunk_in_child


def test_rechunking_reads_the_pages_of_an_earlier_result(samples: Path, tmp_path: Path) -> None:
    name = "quarterly-sales-report.pdf"
    result = read(samples / name, name, chunk_size=100, overlap=20)
    (tmp_path / "in.json").write_text(json.dumps(result))
    arguments = {"input": str(tmp_path / "in.json"), "output": str(tmp_path / "out.json")}
    summary = rechunk_in_child({**arguments, "chunkSize": 60, "overlap": 10})
    chunks = json.loads((tmp_path / "out.json").read_text())["chunks"]
    assert summary == {"pages": 3, "chunks": len(chunks)}
    assert len(chunks) > len(result["chunks"])
    assert chunks == json.loads(json.dumps(rechunk(result["pages"], chunk_size=60, overlap=10)))


def test_it_loads_no_parser() -> None:
    """A preview of chunks starts a process for it, which would take another second."""
    code = (
        "import sys, documents.reading.rechunking as rechunking; rechunking.preload();"
        "print({'lxml', 'pypdfium2', 'docx', 'pypdf', 'selectolax', 'django'} & sys.modules.keys())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout.strip() == "set()", run.stdout + run.stderr
