"""The names of the figures, and how each is measured."""

import json
import subprocess
from argparse import Namespace
from collections.abc import Iterator

from bench import run_environment
from bench.documents import ingestion, peers
from bench.documents.corpus import Corpus
from bench.documents.records import Record

FIGURES = ("good", "bad", "pages", "mixed", "peers", "search", "quality")


def run(figure: str, corpus: Corpus, options: Namespace) -> Iterator[tuple[str, Record]]:
    """Yields a name and a record for each measurement, as soon as it is done."""
    match figure:
        case "good":
            yield from ingestion.good(corpus)
        case "bad":
            yield from ingestion.bad(corpus)
        case "pages":
            yield from ingestion.pages(corpus, options.repeats)
        case "mixed":
            yield from ingestion.mixed(corpus, options.files)
        case "quality" if options.collections:
            yield from ((each.name, _script("bench.search.quality", str(each))) for each in options.collections)
        case "quality":
            yield "", {"skipped": "no collection was named"}
        case "search":
            keep = ["--keep"] if options.keep else []
            yield f"{options.chunks}", _script("bench.search.speed", "--chunks", str(options.chunks), *keep)
        case "peers":
            files = ingestion.mixed_files(corpus, options.files)
            for name in options.peers.replace(",", " ").split() or peers.NAMES:
                yield name, peers.read_files(corpus, files, name)


def _script(module: str, *arguments: str) -> Record:
    """Runs a script that writes its own section and prints a record as its last line."""
    command = [str(run_environment.PYTHON), "-m", module, *arguments]
    environment = run_environment.child_environment(DATABASE_URL=run_environment.database_url("aiworkstation"))
    done = subprocess.run(
        command, cwd=run_environment.ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    record: Record = json.loads(done.stdout.splitlines()[-1])
    return record
