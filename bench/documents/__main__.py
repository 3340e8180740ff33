"""Runs the figures of `make bench-documents` and writes DOCUMENTS.md. See README.md."""

import argparse
import signal
import sys
import time
from pathlib import Path

from bench.documents import records, report
from bench.documents.corpus import Corpus
from bench.documents.figures import FIGURES, run
from bench.servers import servers


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-documents", description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="a folder with MANIFEST.csv and textnorm.py")
    parser.add_argument("--collections", type=Path, nargs="*", help="test collections for search, such as Cranfield")
    parser.add_argument("--only", default="", help=f"some of {', '.join(FIGURES)}; the others stay as they were")
    parser.add_argument("--files", type=int, default=500, help="how many mixed files")
    parser.add_argument("--chunks", type=int, default=100_000, help="how many chunks search is measured with")
    parser.add_argument("--keep", action="store_true", help="use search's database of an earlier run, and leave it")
    parser.add_argument("--repeats", type=int, default=1, help="how often pages a second are measured")
    parser.add_argument("--peers", default="", help="some of the peers only")
    options = parser.parse_args()
    figures = tuple(options.only.replace(",", " ").split()) or FIGURES
    if unknown := set(figures) - set(FIGURES):
        sys.exit(f"error: no such figure: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with servers() as settings:
        for figure in figures:
            for name, record in run(figure, Corpus(options.corpus), options):
                at = time.strftime("%Y-%m-%d %H:%M")
                records.store({"figure": figure, "name": name, "at": at, "settings": settings, **record})
                print(f"{at}  {figure} {name}: {report.line(record)}", flush=True)
    report.write_report(records.load())


if __name__ == "__main__":
    main()
