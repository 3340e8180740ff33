"""From a file to its pages and chunks: detect, parse, chunk. It uses no database, no settings and no network.

It runs in a child process with limits on memory and time. That process calls the functions `*_in_child`, with JSON
arguments and a JSON file for the result. A DocumentError explains what is wrong with the document.
"""

import re
import tempfile
import time
from pathlib import Path
from typing import Any

from documents.errors import NoText, TooLarge, UnsupportedType
from documents.parsers import (
    MAX_CHARACTERS,
    MAX_PAGES,
    ParsedDocument,
    Report,
    Rows,
    load_all,
    parser_for,
    readable_formats,
)
from documents.parsers.decoding import decode
from documents.parsers.file_structures.office_crypto import unlocked
from documents.parsers.pictures import ocr
from documents.reading.foreign_errors import library_errors_as_ours
from documents.reading.format_detection import detect
from documents.reading.rechunking import ignore_progress, memory_as_error, rechunk, write_json
from documents.reading.unpacking import unpack
from documents.text.chunker import CHUNK_SIZE, OVERLAP, count_words, token_sizes
from documents.text.languages import language_of

REPORT_INTERVAL = 0.2

_WARM_UP_PDF = b"""%PDF-1.4
1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj
2 0 obj <</Type /Pages /Kids [3 0 R] /Count 1>> endobj
3 0 obj <</Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents 4 0 R /Resources <</Font <</F 5 0 R>>>>>> endobj
4 0 obj <</Length 56>> stream
BT /F 12 Tf 20 100 Td (The first document of all.) Tj ET
endstream endobj
5 0 obj <</Type /Font /Subtype /Type1 /BaseFont /Helvetica>> endobj
trailer <</Root 1 0 R>>
%%EOF
"""

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def preload() -> None:
    """Loads what takes long, once in the process that forks the children, so that they share it.

    It also reads a document, because libraries such as PDFium load more at the first one.
    """
    token_sizes()
    load_all()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "first.pdf"
        path.write_bytes(_WARM_UP_PDF)
        read(path, path.name)
    decode("größer".encode("cp1252"))  # loads the statistics for code pages


def throttled(report: Report) -> Report:
    """Returns a `Report` that passes on progress a few times a second, and the end."""
    last = 0.0

    def report_sometimes(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done >= total or now - last > REPORT_INTERVAL:
            last = now
            report(done, total)

    return report_sometimes


def read(
    path: Path,
    filename: str,
    *,
    chunk_size: int = CHUNK_SIZE,
    overlap: int = OVERLAP,
    report: Report = ignore_progress,
    members: Path | None = None,
) -> dict[str, Any]:
    """Returns the document as JSON. Raises DocumentError.

    Its keys are `fileType`, `pages`, `rows` (None, or an entry for each page), `metadata`, `warnings`, `language`,
    `wordCount`, `chunks` (as `rechunk` returns them), `needsOcr`, and `members`: the documents inside, unpacked into
    the folder `members`, each `{"file", "name"}`.
    """
    with memory_as_error(), library_errors_as_ours(), unlocked(path) as path:
        detected = detect(path, filename, readable_formats())
        parser = parser_for(detected.format)
        if parser is None:
            raise UnsupportedType()
        document = _storable(parser.parse(path, report))
        _check_size(document)
        unpacked = unpack(parser, path, members)
        return {
            "fileType": detected.format,
            "pages": document.pages,
            "rows": document.rows,
            "metadata": document.metadata,
            "warnings": [*detected.warnings, *document.warnings, *map(storable, unpacked.warnings)],
            "language": language_of(document.pages),
            "wordCount": sum(count_words(page) for page in document.pages),
            "chunks": rechunk(document.pages, chunk_size=chunk_size, overlap=overlap),
            "members": unpacked.members,
            "needsOcr": document.needs_ocr,
        }


def _check_size(document: ParsedDocument) -> None:
    characters = sum(map(len, document.pages))
    if len(document.pages) > MAX_PAGES:
        raise TooLarge(f"The document has {len(document.pages)} pages, more than {MAX_PAGES}: split it.")
    if characters > MAX_CHARACTERS:
        raise TooLarge(f"The document has {characters // 1_000_000} million characters of text: split it.")
    if not any(page.strip() for page in document.pages):
        raise NoText()


def read_in_child(arguments: dict[str, Any], report: Report = ignore_progress) -> dict[str, Any]:
    """Reads the file at `path`, called `filename`, with `chunkSize` and `overlap`, and writes the result to `output`.

    Documents inside go into the folder `members`, or are not unpacked if that is None. `ocr` is
    `{"pages", "seconds"}` if pictures of text should be read too.
    Returns `{"fileType", "pages", "words", "chunks", "needsOcr"}`, counts of the last four.
    """
    if arguments.get("ocr"):
        ocr.limits = ocr.OcrLimits(**arguments["ocr"])
    result = read(
        Path(arguments["path"]),
        arguments["filename"],
        chunk_size=arguments["chunkSize"],
        overlap=arguments["overlap"],
        report=throttled(report),
        members=Path(folder) if (folder := arguments.get("members")) else None,
    )
    write_json(result, Path(arguments["output"]))
    return {
        "fileType": result["fileType"],
        "pages": len(result["pages"]),
        "words": result["wordCount"],
        "chunks": len(result["chunks"]),
        "needsOcr": result["needsOcr"],
    }


def storable(text: str) -> str:
    """Removes NULs and lone surrogates, which PostgreSQL refuses, and other control characters.

    A pair of surrogates becomes one character.
    """
    if _SURROGATES.search(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    return _CONTROLS.sub("", text)


def _storable(document: ParsedDocument) -> ParsedDocument:
    return ParsedDocument(
        [storable(page) for page in document.pages],
        {name: _storable_value(value) for name, value in document.metadata.items()},
        [storable(warning) for warning in document.warnings],
        None if document.rows is None else [_storable_rows(rows) for rows in document.rows],
        document.needs_ocr,
    )


def _storable_value(value: Any) -> Any:
    return storable(value) if isinstance(value, str) else value


def _storable_rows(rows: Rows | None) -> Rows | None:
    return None if rows is None else [[storable(cell) for cell in row] for row in rows]
