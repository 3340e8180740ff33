"""Measures how fast search is: `python -m bench.search.speed [--chunks 100000] [--keep]`.

The database has synthetic chunks of 184 words, most of them of one user (`fill_database.py`). One process searches. In
the second round another process replaces documents all the time, the way a second reading does. Times are of the whole
`search`, snippets included, without the call that embeds the question. Question vectors are near those of a document.
"processor" is the processor time of client and server at the 95th percentile. Other processes on the machine change it
little. The last printed line is a record.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.documents.sections import circumstances, table, write
from bench.search.fill_database import fill
from bench.search.scratch_database import owner, replace_document, scratch_database
from bench.search.synthetic_documents import CHUNKS_PER_DOCUMENT, DocumentWriter

MODEL = "made-up-vectors"
DIMENSIONS = 384
QUESTIONS = 100
COMPARED = 40

# Each document has a point of its own, and its chunks are around it.
_VECTORS = """
CREATE TEMP TABLE places AS SELECT uid,
  (SELECT l2_normalize(array_agg(random_normal() + 0 * (g + d.generation))::halfvec(384))
    FROM generate_series(1, 384) g) AS v
FROM documents d;
CREATE INDEX ON places (uid);
INSERT INTO {table} (model_id, chunk_id, document_id, generation, owner_id, embedding)
SELECT {model}, c.id, c.document_id, c.generation, d.owner_id, l2_normalize(p.v + (
  SELECT array_agg(random_normal() * 0.04 + 0 * (g + c.id))::halfvec(384) FROM generate_series(1, 384) g
)) FROM document_chunks c JOIN documents d ON d.uid = c.document_id JOIN places p ON p.uid = d.uid;
"""

Ask = Callable[[], list[Any]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--keep", action="store_true", help="use the database of an earlier run, and leave it there")
    parser.add_argument("--replace", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    name = f"bench_search_speed_{options.chunks}"
    settings = {"embedding_model": MODEL, "openai_base_url": "http://127.0.0.1:9/v1"}
    if options.replace:
        with scratch_database(name, settings, keep=True):
            _replace_forever()
    with scratch_database(name, settings, keep=options.keep):
        _measure(options.chunks, name)


def _measure(chunks: int, database: str) -> None:
    lines = [*fill(database, chunks // CHUNKS_PER_DOCUMENT), *_vectors()]
    lines += _sizes()
    kinds = _kinds()
    idle = {kind: Times.of(questions) for kind, questions in kinds.items()}
    with _replacing(database) as replaced:
        busy = {kind: Times.of(questions) for kind, questions in kinds.items()}
        count, seconds = replaced()
    lines.append(f"Meanwhile {count * CHUNKS_PER_DOCUMENT / seconds:,.0f} chunks a second were replaced.")
    head = ["questions", "p50 ms", "p95 ms", "processor", "p50 while replacing", "p95", "processor"]
    rows = [[kind, *idle[kind].shown(), *busy[kind].shown()] for kind in kinds]
    lines += ["", *table(head, rows), *_exactness(kinds)]
    write(f"speed-{chunks}", f"Speed at {chunks:,} chunks", [circumstances(), "", *lines])
    p95 = {kind: {"idle": idle[kind].p95, "replacing": busy[kind].p95} for kind in kinds}
    print(json.dumps({"chunks": chunks, "p95": p95}))


def _vectors() -> list[str]:
    from django.db import connection
    from django.db.models import F

    from documents.models import Document, EmbeddingModel
    from documents.search.vector_index import _make_partition, _partition_name

    model, _ = EmbeddingModel.objects.get_or_create(name=MODEL)
    if model.dimensions is not None:
        return []
    _make_partition(model, DIMENSIONS)
    table_name = _partition_name(model.pk)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_get_indexdef('{table_name}_hnsw'::regclass)")
        (definition,) = cursor.fetchone()
        cursor.execute(f"DROP INDEX {table_name}_hnsw")
        cursor.execute(_VECTORS.format(table=table_name, model=model.pk))
        start = time.perf_counter()
        cursor.execute("SET maintenance_work_mem = '2GB'")
        cursor.execute(definition)
        seconds = time.perf_counter() - start
        cursor.execute(f"ANALYZE {table_name}")
    EmbeddingModel.objects.update(is_active=True)
    Document.objects.update(embedded_by=model, embedded_generation=F("generation"))
    return [f"The HNSW index of {DIMENSIONS} half-precision numbers, built at once: {seconds:.0f} s."]


def _sizes() -> list[str]:
    from django.db import connection

    named = {
        "chunks": "document_chunks",
        "terms": "document_terms",
        "of them the GIN index": "terms_by_lexeme",
        "vectors": "(SELECT max(inhrelid)::regclass FROM pg_inherits WHERE inhparent = 'document_vectors'::regclass)",
    }
    shown = []
    with connection.cursor() as cursor:
        for label, relation in named.items():
            given = relation if relation.startswith("(") else f"'{relation}'"
            cursor.execute(f"SELECT pg_total_relation_size({given}) / 1048576.0")
            shown.append(f"{label} {cursor.fetchone()[0]:,.0f} MB")
    return [f"Sizes: {', '.join(shown)}."]


def _kinds() -> dict[str, list[Ask]]:
    writer, dice = DocumentWriter(), random.Random(7)
    words = writer.words

    def drawn(low: int, high: int) -> str:
        return " ".join(dice.choices(words, cum_weights=writer.weights, k=dice.randint(low, high)))

    def of(first: int, last: int, low: int, high: int) -> str:
        return " ".join(dice.sample(words[first:last], dice.randint(low, high)))

    texts: dict[str, Callable[[], str]] = {
        "long, 8–20 words": lambda: drawn(8, 20),
        "2–3 common words": lambda: of(20, 400, 2, 3),
        "2–3 rare words": lambda: of(3_000, 30_000, 2, 3),
        "one common word": lambda: of(5, 300, 1, 1),
        "a phrase that is there": lambda: f'"{_phrase(writer, dice)}"',
        "a word excluded": lambda: f"{of(20, 400, 2, 2)} -{of(5, 200, 1, 1)}",
        "a beginning": lambda: f"{dice.choice(words[200:30_000])[:4]}*",
    }
    kinds = {kind: [_asking(make()) for _ in range(QUESTIONS)] for kind, make in texts.items()}
    for kind, options in {
        "in a tenth of the documents, by project": {"project_id": "middle"},
        "in a hundredth, by project": {"project_id": "small"},
        "by a user with a tenth": {"user": "tenth"},
        "by a user with a hundredth": {"user": "hundredth"},
    }.items():
        kinds[kind] = [_asking(of(20, 4_000, 2, 4), **options) for _ in range(QUESTIONS)]
    vectors = _question_vectors()
    kinds["with vectors: long"] = [_asking(drawn(8, 20), vector=next(vectors)) for _ in range(QUESTIONS)]
    kinds["with vectors: 2–3 common words"] = [
        _asking(of(20, 400, 2, 3), vector=next(vectors)) for _ in range(QUESTIONS)
    ]
    for kind, options in {
        "with vectors: in a tenth, by project": {"project_id": "middle"},
        "with vectors: by a user with a hundredth": {"user": "hundredth"},
    }.items():
        kinds[kind] = [_asking(of(20, 4_000, 2, 4), vector=next(vectors), **options) for _ in range(QUESTIONS)]
    return kinds


def _asking(text: str, *, user: str = "bench", vector: Any = None, **filters: Any) -> Ask:
    from documents.search import Question, hybrid_search, search

    asking, question = owner(user), Question(text, **filters)

    def ask() -> list[Any]:
        with patch.object(hybrid_search, "embed_question", lambda text: vector):
            return search(asking, question)

    return ask


def _phrase(writer: DocumentWriter, dice: random.Random) -> str:
    ((_, texts),) = writer.documents(1, dice.randrange(1000))
    words = dice.choice(texts).split()
    start = dice.randrange(len(words) - 3)
    return " ".join(words[start : start + dice.randint(2, 3)])


def _question_vectors() -> Iterator[Any]:
    """Yields vectors that are each near a chunk."""
    from django.db import connection

    from documents.models import EmbeddingModel
    from documents.search.embeddings import EmbeddedQuestion

    model = EmbeddingModel.objects.get()
    dice = random.Random(11)
    with connection.cursor() as cursor:
        cursor.execute("SELECT embedding::text FROM document_vectors TABLESAMPLE SYSTEM (2) LIMIT 1000")
        found = [[float(number) for number in text[1:-1].split(",")] for (text,) in cursor.fetchall()]
    while True:
        vector = [number + dice.gauss(0, 0.04) for number in dice.choice(found)]
        yield EmbeddedQuestion(model, tuple(vector))


@dataclass
class Times:
    """Milliseconds. `processor` is the 95th percentile of the processor time of client and server per question."""

    p50: float
    p95: float
    processor: float

    @classmethod
    def of(cls, questions: list[Ask]) -> "Times":
        for ask in questions[: QUESTIONS // 5]:
            ask()
        passed, taken = [], []
        for ask in questions:
            start, used = time.perf_counter(), _processor_seconds()
            ask()
            passed.append((time.perf_counter() - start) * 1000)
            taken.append((_processor_seconds() - used) * 1000)
        last = int(len(questions) * 0.95)
        return cls(sorted(passed)[len(questions) // 2], sorted(passed)[last], sorted(taken)[last])

    def shown(self) -> list[str]:
        return [f"{ms:.0f}" for ms in (self.p50, self.p95, self.processor)]


def _processor_seconds() -> float:
    """Returns the processor time of this process and of its server process."""
    from django.db import connection

    schedule = Path(f"/proc/{connection.connection.info.backend_pid}/schedstat")
    return time.process_time() + int(schedule.read_text().split()[0]) / 1e9


def _exactness(kinds: dict[str, list[Ask]]) -> list[str]:
    """Reports how many of the ten best results are the same if search reads every posting list."""
    from documents.search import ranking, scope

    rows = []
    for kind, questions in kinds.items():
        if kind.startswith("with vectors"):
            continue
        same = total = 0
        for ask in questions[:COMPARED]:
            fast = {result.chunk_id for result in ask()}
            unlimited = patch.multiple(ranking, FIRST_BUDGET=10**9, MAX_SCORED_SCOPE=0)
            with unlimited, patch.object(scope, "MAX_COUNTED_DOCUMENTS", 0):
                every = {result.chunk_id for result in ask()}
            same, total = same + len(fast & every), total + len(every)
        rows.append(f"{kind} {100 * same / total:.1f} %")
    return [f"Of the ten best that reading every list gives, found: {'; '.join(rows)}."]


@contextmanager
def _replacing(database: str) -> Iterator[Callable[[], tuple[int, float]]]:
    """Replaces documents in another process. Yields a function that returns their number and the seconds."""
    from django.db.models import Sum

    from documents.models import Document

    def replaced() -> int:
        return int(Document.objects.aggregate(total=Sum("generation"))["total"])

    chunks = database.rsplit("_", 1)[1]
    server = os.environ["DATABASE_URL"]
    command = [sys.executable, "-m", "bench.search.speed", "--replace", "--chunks", chunks]
    with subprocess.Popen(command, env={**os.environ, "DATABASE_URL": server}) as process:
        try:
            time.sleep(5)
            before, start = replaced(), time.perf_counter()
            yield lambda: (replaced() - before, time.perf_counter() - start)
        finally:
            process.terminate()


def _replace_forever() -> None:
    from documents.models import Document

    writer, dice = DocumentWriter(), random.Random()
    count = Document.objects.count()
    while True:
        number = dice.randrange(count)
        ((name, texts),) = writer.documents(1, number)
        replace_document(Document.objects.get(client_id=name), texts)


if __name__ == "__main__":
    main()
