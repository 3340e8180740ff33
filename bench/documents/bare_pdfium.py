"""Extracts text with PDFium and nothing else: `python -m bench.documents.bare_pdfium PROCESSES FILE…`.

Prints pages and seconds as JSON. The processes run and have loaded PDFium before the time begins.
"""

import json
import sys
import time
from multiprocessing import get_context

import pypdfium2


def pages_of(path: str) -> int:
    document = pypdfium2.PdfDocument(path)
    for page in document:
        page.get_textpage().get_text_range(errors="ignore")
    return len(document)


def main() -> None:
    processes, paths = int(sys.argv[1]), sys.argv[2:]
    with get_context("fork").Pool(processes) as pool:
        pool.map(pages_of, paths[:1] * processes, chunksize=1)
        start = time.perf_counter()
        pages = sum(pool.imap_unordered(pages_of, paths, chunksize=1))
        seconds = time.perf_counter() - start
    print(json.dumps({"pages": pages, "seconds": seconds, "pages_a_second": pages / seconds}))


if __name__ == "__main__":
    main()
