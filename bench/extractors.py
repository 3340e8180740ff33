# mypy: disable-error-code="import-not-found, import-untyped, unused-ignore"
"""Compares extractors on the same files: time, phrases found, memory. Prints Markdown.

    python bench/extractors.py FOLDER [FORMAT…]

FOLDER has a MANIFEST.csv with the columns `file`, `format`, `pages`, `must_contain` (phrases separated by ";").
Each library that is installed takes part; those of bench/requirements-extractors.txt are the ones compared with. Every
file is read by a process of its own, after the imports; files that need OCR are left out.
"""

import csv
import json
import os
import re
import resource
import signal
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

Extractor = Callable[[Path], str]
SECONDS = 120
MEMORY = 4 << 30
MISSING = "missing"
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_UNSEEN = dict.fromkeys([0xAD, 0x640, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF])
_DASHES_AND_QUOTES = {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x2212: "-"}
_DASHES_AND_QUOTES |= dict.fromkeys(range(0x2010, 0x2015), "-")


class Reading(NamedTuple):
    """How one file was read. `megabytes` is the peak of the process, imports included."""

    seconds: float
    found: int
    phrases: int
    megabytes: int
    has_failed: bool


def ours(path: Path) -> str:
    from documents.parsers import load_all, parser_for, readable_formats
    from documents.reading.format_detection import detect

    load_all()
    parser = parser_for(detect(path, path.name, readable_formats()).format)
    assert parser
    return "\n".join(parser.parse(path, lambda done, total: None).pages)


def pypdfium2(path: Path) -> str:
    import pypdfium2

    return "\n".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(path))


def pypdf(path: Path) -> str:
    import pypdf

    return "\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)


def pdfminer(path: Path) -> str:
    from pdfminer.high_level import extract_text

    return str(extract_text(path))


def python_docx(path: Path) -> str:
    import docx

    blocks = docx.Document(str(path)).iter_inner_content()
    return "\n".join(block.text if hasattr(block, "text") else _cells(block) for block in blocks)


def _cells(table: Any) -> str:
    return "\n".join(cell.text for row in table.rows for cell in row.cells)


def docx2txt(path: Path) -> str:
    import docx2txt

    return str(docx2txt.process(str(path)))


def python_pptx(path: Path) -> str:
    from pptx import Presentation

    shapes = [shape for slide in Presentation(str(path)).slides for shape in slide.shapes]
    tables = "\n".join(_cells(shape.table) for shape in shapes if shape.has_table)
    return "\n".join(shape.text_frame.text for shape in shapes if shape.has_text_frame) + tables


def openpyxl(path: Path) -> str:
    import openpyxl

    rows = (row for sheet in openpyxl.load_workbook(path, read_only=True) for row in sheet.iter_rows(values_only=True))
    return "\n".join(" ".join(str(cell) for cell in row if cell is not None) for row in rows)


def odfdo(path: Path) -> str:
    from odfdo import Document

    return str(Document(path).get_formatted_text())


def markitdown(path: Path) -> str:
    from markitdown import MarkItDown

    return str(MarkItDown().convert(path).text_content)


EVERYWHERE = (ours, markitdown)
EXTRACTORS: dict[str, tuple[Extractor, ...]] = {
    "pdf": (ours, pypdfium2, pypdf, pdfminer),
    "docx": (*EVERYWHERE, python_docx, docx2txt),
    "pptx": (*EVERYWHERE, python_pptx),
    "xlsx": (*EVERYWHERE, openpyxl),
    "odt": (ours, odfdo),
    **dict.fromkeys(("epub", "html", "csv", "json"), EVERYWHERE),
    **dict.fromkeys(("eml", "rtf", "txt"), (ours,)),
}


def normalized(text: str) -> str:
    """Normalizes text so that Unicode forms, case, white space and invisible characters make no difference."""
    text = unicodedata.normalize("NFKC", text).translate(_UNSEEN).translate(_DASHES_AND_QUOTES)
    return " ".join(text.split()).casefold()


def found(text: str, phrases: list[str]) -> int:
    """Counts the phrases in the text. Phrases of scripts without spaces are compared without spaces."""
    plain = normalized(text)
    squeezed = "".join(plain.split())
    return sum(
        "".join(normalized(phrase).split()) in squeezed if _CJK.search(phrase) else normalized(phrase) in plain
        for phrase in phrases
    )


def measure(extractor: Extractor, path: Path, phrases: list[str]) -> Reading | None:
    """Reads the file in a child process. Returns None if the extractor's library is not installed."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        _read(extractor, path, phrases, sending)
    os.close(sending)
    with os.fdopen(receiving) as answer:
        text = answer.read()
    _, _, usage = os.wait4(child, 0)
    if text == MISSING:
        return None
    seconds, hits = json.loads(text) if text else (0.0, 0)
    return Reading(seconds, hits, len(phrases), usage.ru_maxrss >> 10, not text)


def _read(extractor: Extractor, path: Path, phrases: list[str], sending: int) -> None:
    """Runs in the child and never returns. Reads an empty file first, so that imports are not timed."""
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        with suppress(Exception):
            _import(extractor, sending)
        start = time.process_time()
        text = extractor(path)
        os.write(sending, json.dumps([time.process_time() - start, found(text, phrases)]).encode())
    finally:
        os._exit(0)


def _import(extractor: Extractor, sending: int) -> None:
    try:
        extractor(Path(os.devnull))
    except ImportError:
        os.write(sending, MISSING.encode())
        os._exit(0)


def line(kind: str, extractor: Extractor, readings: list[Reading], pages: int) -> str:
    seconds = sum(reading.seconds for reading in readings if not reading.has_failed)
    hits, wanted = sum(reading.found for reading in readings), sum(reading.phrases for reading in readings)
    failed = sum(reading.has_failed for reading in readings)
    peak = max(reading.megabytes for reading in readings)
    per = 1000 * seconds / pages if pages else 1000 * median(reading.seconds for reading in readings)
    name = extractor.__name__.replace("_", "-")
    return f"| {kind} | {name} | {len(readings)} | {per:.1f} | {hits} of {wanted} | {failed} | {peak} |"


def table(folder: Path, formats: list[str]) -> Iterator[str]:
    with (folder / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["file"].startswith("good/") and row["expected"] == "ok"]
    yield "| format | extractor | files | ms a page, or a file | phrases | failed | peak MB |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for kind, extractors in EXTRACTORS.items():
        if formats and kind not in formats:
            continue
        files = [row for row in rows if row["format"] == kind and row["must_contain"]]
        pages = sum(int(row["pages"] or 0) for row in files)
        for extractor in extractors:
            phrases = [[phrase for phrase in row["must_contain"].split(";") if phrase] for row in files]
            names = [folder / row["file"] for row in files]
            readings = [measure(extractor, *pair) for pair in zip(names, phrases, strict=True)]
            if read := [reading for reading in readings if reading is not None]:
                yield line(kind, extractor, read, pages)


if __name__ == "__main__":
    for text in table(Path(sys.argv[1]), sys.argv[2:]):
        print(text, flush=True)
