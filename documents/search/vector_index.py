"""The vectors of chunks in pgvector: written, searched, and mixed with the full-text ranking.

Each embedding model has its own partition. It is created with the model's first vectors, because the HNSW index
needs their number of dimensions. The index fills as vectors arrive, and an old model goes with one DROP TABLE.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from documents.models import EmbeddingModel
from documents.search.ranking import DEPTH, Hit
from documents.search.scope import Scope
from workflows.errors import PermanentError

MAX_DIMENSIONS = 4_000
"""The limit of pgvector's index for half-precision vectors."""
MAX_EXACT_NUMBERS = 6_000_000
"""If all vectors of a scope have at most so many numbers, comparing each is faster than the filtered index."""
VECTOR_WEIGHT = 0.4
"""The weight of the vectors' ranking. Full text has the rest."""

# An advisory lock: two processes that get the first vectors of a model must not both create its partition.
_PARTITION_LOCK = 0x76656374
_PARTITION = """
CREATE TABLE IF NOT EXISTS {table} PARTITION OF document_vectors FOR VALUES IN ({model});
CREATE INDEX IF NOT EXISTS {table}_hnsw ON {table}
  USING hnsw ((embedding::halfvec({dimensions})) halfvec_ip_ops);
"""
_COPY = "COPY document_vectors (model_id, chunk_id, document_id, generation, owner_id, embedding) FROM STDIN"
_NEAREST = """
SELECT v.chunk_id, v.document_id, -({distance}) AS score FROM {table} v
CROSS JOIN LATERAL (
  SELECT FROM ({scope}) d WHERE d.uid = v.document_id AND d.generation = v.generation OFFSET 0
) d WHERE {owner} ORDER BY {distance} LIMIT %(depth)s
"""
# Each chunk of a small scope is compared: the planner cannot use the index for `0 + distance`.
_NEAREST_OF_FEW = """
SELECT v.chunk_id, v.document_id, -({distance}) AS score FROM ({scope}) d
JOIN {table} v ON v.document_id = d.uid AND v.generation = d.generation
ORDER BY 0 + ({distance}) LIMIT %(depth)s
"""
_OF_CHUNKS = """
SELECT v.chunk_id, v.document_id, -({distance}) AS score FROM {table} v
WHERE v.model_id = %(model)s AND v.chunk_id = ANY (%(chunks)s)
"""
# The index scan continues until enough chunks pass the filters, instead of returning fewer.
_SETTINGS = (
    "SET LOCAL hnsw.ef_search = 200; SET LOCAL hnsw.iterative_scan = relaxed_order;"
    " SET LOCAL hnsw.max_scan_tuples = 40000; SET LOCAL hnsw.scan_mem_multiplier = 4"
)


class WrongDimensions(PermanentError):
    """The embedding model sends vectors of another length than before: is it another model under the same name?"""

    code = "wrong_dimensions"


def write(model: EmbeddingModel, document: UUID, owner: int, generation: int, vectors: dict[int, list[float]]) -> None:
    """Stores the vectors of chunks, which are keyed by chunk id. Raises WrongDimensions."""
    if not vectors:
        return
    dimensions = {len(vector) for vector in vectors.values()}
    if model.dimensions is None:
        _make_partition(model, max(dimensions))
    if dimensions != {model.dimensions}:
        raise WrongDimensions()
    with transaction.atomic(), connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for chunk, vector in vectors.items():
            copy.write_row((model.pk, chunk, document, generation, owner, as_text(vector)))


def drop_partition(model_id: int) -> None:
    with connection.cursor() as cursor:
        # Deferred constraint checks on the table, if still pending, would make the DROP fail.
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; DROP TABLE IF EXISTS {_partition_name(model_id)}")


def nearest(model: EmbeddingModel, vector: Sequence[float], scope: Scope) -> list[Hit]:
    """Returns the nearest chunks of the scope, best first."""
    if model.dimensions != len(vector):
        return []
    is_small = scope.chunks * model.dimensions <= MAX_EXACT_NUMBERS
    template = _NEAREST_OF_FEW if is_small else _NEAREST
    owner = "true" if scope.owner is None else "v.owner_id = %(owner)s"
    names = {f"scope{number}": value for number, value in enumerate(scope.parameters)}
    parameters = {**names, "vector": as_text(vector), "depth": DEPTH, "owner": scope.owner}
    with connection.cursor() as cursor:
        cursor.execute(_SETTINGS)
    return _query_hits(
        template, model, parameters, scope=scope.sql % tuple(f"%({name})s" for name in names), owner=owner
    )


def similarities(model: EmbeddingModel, vector: Sequence[float], hits: Iterable[Hit]) -> list[Hit]:
    """Returns the same chunks, ranked by their similarity."""
    if model.dimensions != len(vector):
        return []
    chunks = [hit.chunk_id for hit in hits]
    return _query_hits(_OF_CHUNKS, model, {"vector": as_text(vector), "chunks": chunks, "model": model.pk})


def mix_rankings(by_text: Sequence[Hit], by_vector: Sequence[Hit]) -> list[Hit]:
    """Merges two rankings: scales the scores of each from 0 to 1, then adds them by weight."""
    text, vector = _scale_scores(by_text), _scale_scores(by_vector)
    found = {hit.chunk_id: hit for hit in [*by_text, *by_vector]}
    hits = [
        Hit(id, hit.document_id, (1 - VECTOR_WEIGHT) * text.get(id, 0.0) + VECTOR_WEIGHT * vector.get(id, 0.0))
        for id, hit in found.items()
    ]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))


def as_text(vector: Iterable[float]) -> str:
    """Returns the vector, scaled to length 1, in pgvector's notation."""
    numbers = list(vector)
    length = sum(number * number for number in numbers) ** 0.5 or 1.0
    return "[" + ",".join([f"{number / length:.5g}" for number in numbers]) + "]"


def _scale_scores(hits: Collection[Hit]) -> dict[int, float]:
    """Scales scores from 0 to 1. If there are fewer hits than were asked for, 0 is what any other chunk scores."""
    scores = [hit.score for hit in hits]
    lowest = min(scores, default=0.0) if len(scores) >= DEPTH else 0.0
    width = max(scores, default=0.0) - lowest
    return {hit.chunk_id: max(hit.score - lowest, 0.0) / width if width > 0 else 1.0 for hit in hits}


def _query_hits(template: str, model: EmbeddingModel, parameters: dict[str, Any], **parts: str) -> list[Hit]:
    distance = f"v.embedding::halfvec({model.dimensions}) <#> %(vector)s::halfvec({model.dimensions})"
    with connection.cursor() as cursor:
        cursor.execute(template.format(table=_partition_name(model.pk), distance=distance, **parts), parameters)
        hits = [Hit(chunk, document, score) for chunk, document, score in cursor.fetchall()]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))


def _make_partition(model: EmbeddingModel, dimensions: int) -> None:
    if dimensions > MAX_DIMENSIONS:
        raise PermanentError(
            f"The embedding model sends vectors of {dimensions} numbers; at most {MAX_DIMENSIONS} can be indexed.",
            code="too_many_dimensions",
        )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_PARTITION_LOCK])
        cursor.execute(_PARTITION.format(table=_partition_name(model.pk), model=model.pk, dimensions=dimensions))
        EmbeddingModel.objects.filter(pk=model.pk, dimensions=None).update(dimensions=dimensions)
    model.refresh_from_db(fields=["dimensions"])


def _partition_name(model_id: int) -> str:
    return f"document_vectors_{int(model_id)}"
