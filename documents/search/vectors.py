"""Vectors of passages in pgvector: written, searched, and mixed with the full-text ranking.

Each model has a partition of its own, made when its first vectors come, for only then their dimensions are known:
its HNSW index is of these dimensions, it fills as vectors come, and an old model goes in one DROP TABLE.
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
"""As many as pgvector's index takes of half-precision numbers."""
MOST_NUMBERS = 6_000_000
"""Of so many, all vectors of a scope together, comparing each is quicker than the index that leaves out the others."""
WEIGHT = 0.4
"""Of the vectors, against the full text's 0.6."""

_MAKING_PARTITION = 0x76656374  # an advisory lock: two that meet the same new model make one partition
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
# Of few passages each is looked at: an expression that is not the index's keeps the index out.
_NEAREST_OF_FEW = """
SELECT v.chunk_id, v.document_id, -({distance}) AS score FROM ({scope}) d
JOIN {table} v ON v.document_id = d.uid AND v.generation = d.generation
ORDER BY 0 + ({distance}) LIMIT %(depth)s
"""
_OF_CHUNKS = """
SELECT v.chunk_id, v.document_id, -({distance}) AS score FROM {table} v
WHERE v.model_id = %(model)s AND v.chunk_id = ANY (%(chunks)s)
"""
# Filters make the index go on until there are enough, instead of thinning out what it found.
_SETTINGS = (
    "SET LOCAL hnsw.ef_search = 200; SET LOCAL hnsw.iterative_scan = relaxed_order;"
    " SET LOCAL hnsw.max_scan_tuples = 40000; SET LOCAL hnsw.scan_mem_multiplier = 4"
)


class WrongDimensions(PermanentError):
    """The embedding model sends vectors of another length than before: is it another model under the same name?"""

    code = "wrong_dimensions"


def write(model: EmbeddingModel, document: UUID, owner: int, generation: int, vectors: dict[int, list[float]]) -> None:
    """The vectors of chunks, by the chunks' ids. Raises WrongDimensions."""
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


def drop(model_id: int) -> None:
    with connection.cursor() as cursor:
        # What is not yet checked of this table would keep it from going.
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; DROP TABLE IF EXISTS {_table(model_id)}")


def nearest(model: EmbeddingModel, vector: Sequence[float], scope: Scope) -> list[Hit]:
    """The passages of the scope that are nearest, best first."""
    if model.dimensions != len(vector):
        return []
    is_small = scope.chunks * model.dimensions <= MOST_NUMBERS
    template = _NEAREST_OF_FEW if is_small else _NEAREST
    owner = "true" if scope.owner is None else "v.owner_id = %(owner)s"
    names = {f"scope{number}": value for number, value in enumerate(scope.parameters)}
    parameters = {**names, "vector": as_text(vector), "depth": DEPTH, "owner": scope.owner}
    with connection.cursor() as cursor:
        cursor.execute(_SETTINGS)
    return _run(template, model, parameters, scope=scope.sql % tuple(f"%({name})s" for name in names), owner=owner)


def similarities(model: EmbeddingModel, vector: Sequence[float], hits: Iterable[Hit]) -> list[Hit]:
    """The same passages by their nearness."""
    if model.dimensions != len(vector):
        return []
    chunks = [hit.chunk_id for hit in hits]
    return _run(_OF_CHUNKS, model, {"vector": as_text(vector), "chunks": chunks, "model": model.pk})


def mixed(by_text: Sequence[Hit], by_vector: Sequence[Hit]) -> list[Hit]:
    """Both rankings as one: each by where its scores lie between its lowest and its highest, then weighed."""
    text, vector = _spread(by_text), _spread(by_vector)
    found = {hit.chunk_id: hit for hit in [*by_text, *by_vector]}
    hits = [
        Hit(id, hit.document_id, (1 - WEIGHT) * text.get(id, 0.0) + WEIGHT * vector.get(id, 0.0))
        for id, hit in found.items()
    ]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))


def as_text(vector: Iterable[float]) -> str:
    """Of length 1, as pgvector reads it."""
    numbers = list(vector)
    length = sum(number * number for number in numbers) ** 0.5 or 1.0
    return "[" + ",".join([f"{number / length:.5g}" for number in numbers]) + "]"


def _spread(hits: Collection[Hit]) -> dict[int, float]:
    """Where there are fewer than were asked for, all others would have scored 0."""
    scores = [hit.score for hit in hits]
    lowest = min(scores, default=0.0) if len(scores) >= DEPTH else 0.0
    width = max(scores, default=0.0) - lowest
    return {hit.chunk_id: max(hit.score - lowest, 0.0) / width if width > 0 else 1.0 for hit in hits}


def _run(template: str, model: EmbeddingModel, parameters: dict[str, Any], **parts: str) -> list[Hit]:
    distance = f"v.embedding::halfvec({model.dimensions}) <#> %(vector)s::halfvec({model.dimensions})"
    with connection.cursor() as cursor:
        cursor.execute(template.format(table=_table(model.pk), distance=distance, **parts), parameters)
        hits = [Hit(chunk, document, score) for chunk, document, score in cursor.fetchall()]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))


def _make_partition(model: EmbeddingModel, dimensions: int) -> None:
    if dimensions > MAX_DIMENSIONS:
        raise PermanentError(
            f"The embedding model sends vectors of {dimensions} numbers; at most {MAX_DIMENSIONS} can be indexed.",
            code="too_many_dimensions",
        )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_MAKING_PARTITION])
        cursor.execute(_PARTITION.format(table=_table(model.pk), model=model.pk, dimensions=dimensions))
        EmbeddingModel.objects.filter(pk=model.pk, dimensions=None).update(dimensions=dimensions)
    model.refresh_from_db(fields=["dimensions"])


def _table(model_id: int) -> str:
    return f"document_vectors_{int(model_id)}"
