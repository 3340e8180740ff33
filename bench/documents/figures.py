"""Which figures there are, and how each is taken."""

import json
import subprocess
from argparse import Namespace
from collections.abc import Iterator

from bench import place
from bench.documents import ingesting, peers
from bench.documents.corpus import Corpus
from bench.documents.records import Record

FIGURES = ("good", "bad", "pages", "mixed", "peers", "search", "quality")


def run(figure: str, corpus: Corpus, options: Namespace) -> Iterator[tuple[str, Record]]:
    """A name and a record for each measurement, as they come."""
    match figure:
        case "good":
            yield from ingesting.good(corpus)
        case "bad":
            yield from ingesting.bad(corpus)
        case "pages":
            yield from ingesting.pages(corpus, options.repeats)
        case "mixed":
            yield from ingesting.mixed(corpus, options.files)
        case "quality" if options.collection:
            yield "", _script("bench.search_quality", str(options.collection))
        case "quality":
            yield "", {"skipped": "no collection was named"}
        case "search":
            kept = ["--keep"] if options.keep else []
            yield f"{options.chunks}", _script("bench.search_speed", "--chunks", str(options.chunks), *kept)
        case "peers":
            files = ingesting.mixed_files(corpus, options.files)
            for name in options.peers.replace(",", " ").split() or peers.NAMES:
                yield name, peers.race(corpus, files, name)


def _script(module: str, *arguments: str) -> Record:
    """Those of search write their own sections, and print a record at the end."""
    command = [str(place.PYTHON), "-m", module, *arguments]
    environment = place.environment(DATABASE_URL=place.database_url("aiworkstation"))
    done = subprocess.run(command, cwd=place.ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    record: Record = json.loads(done.stdout.splitlines()[-1])
    return record
