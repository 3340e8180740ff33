"""Fills the database of a measurement with synthetic documents, through the application's own statements.

One process per core loads most of them in large transactions, before the GIN index is built. Otherwise a million chunks
would take an hour. The last documents are indexed one per transaction, beside all others, to measure the speed of a
worker.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, groupby, islice, pairwise

from bench.search.scratch_database import add_documents, owner, scratch_database
from bench.search.synthetic_documents import CHUNKS_PER_DOCUMENT, DocumentWriter

OWNERS = (("bench", 0.89), ("tenth", 0.10), ("hundredth", 0.01))
PROJECTS = (("small", 0.01), ("middle", 0.1), ("", 0.89))
MEASURED_DOCUMENTS = 100
BATCH = 50
"""Documents in a transaction."""

Named = tuple[int, tuple[str, list[str]]]


def fill(database: str, documents: int) -> list[str]:
    """Adds documents until there are this many. Returns the measurements as lines, or none if nothing was added."""
    from django.db import connection

    from documents.models import Document

    have = Document.objects.count()
    if have >= documents:
        return []
    many = range(have, max(documents - MEASURED_DOCUMENTS, have))
    if many:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_get_indexdef('terms_by_lexeme'::regclass)")
            (definition,) = cursor.fetchone()
            cursor.execute("DROP INDEX terms_by_lexeme")
        _load(database, many)
        with connection.cursor() as cursor:
            cursor.execute("SET maintenance_work_mem = '1GB'")
            cursor.execute(definition)
            cursor.execute("RESET maintenance_work_mem")
            cursor.execute("VACUUM ANALYZE document_terms, document_chunks, documents")
    lines = [_indexing_rate(range(many.stop, documents))]
    start = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE document_terms, document_chunks, documents")
    return [*lines, f"ANALYZE took {time.perf_counter() - start:.1f} s."]


def owner_of(number: int) -> str:
    return _share(number, OWNERS)


def project_of(number: int) -> str:
    return _share(number // 7, PROJECTS)


def _indexing_rate(numbers: range) -> str:
    seconds = 0.0
    for number, document in zip(numbers, DocumentWriter().documents(len(numbers), numbers.start), strict=True):
        start = time.perf_counter()
        add_documents(owner(owner_of(number)), [document], project_id=project_of(number))
        seconds += time.perf_counter() - start
    chunks = len(numbers) * CHUNKS_PER_DOCUMENT
    return f"Indexing the last {chunks:,}, full text, one process: {chunks / seconds:,.0f} chunks a second."


def _load(database: str, numbers: range) -> None:
    processes = len(os.sched_getaffinity(0))
    ends = [numbers.start + len(numbers) * part // processes for part in range(processes + 1)]
    command = [sys.executable, "-m", "bench.search.fill_database", database]
    with ThreadPoolExecutor(processes) as pool:
        for done in [
            pool.submit(subprocess.run, [*command, str(first), str(last)], check=True) for first, last in pairwise(ends)
        ]:
            done.result()


def _add_all(numbers: range) -> None:
    named = zip(numbers, DocumentWriter().documents(len(numbers), numbers.start), strict=True)
    while batch := list(islice(named, BATCH)):
        _add_batch(batch)


def _add_batch(batch: Sequence[Named]) -> None:
    def whose(each: Named) -> tuple[str, str]:
        return owner_of(each[0]), project_of(each[0])

    for (name, project), group in groupby(sorted(batch, key=whose), key=whose):
        add_documents(owner(name), [document for _, document in group], project_id=project)


def _share(number: int, shares: Iterable[tuple[str, float]]) -> str:
    """Returns the name for a number. Each name gets its share of any range of numbers."""
    place = (number * 37 % 100 + 0.5) / 100
    names, parts = zip(*shares, strict=True)
    return str(next(name for name, end in zip(names, accumulate(parts), strict=True) if place < end))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("database")
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    given = parser.parse_args()
    with scratch_database(given.database, keep=True):
        _add_all(range(given.first, given.last))
