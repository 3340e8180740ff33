"""Vectors from the embedding model, for the chunks of a document and for a question.

1. Indexing a document writes its full-text index and makes it current. A slow, busy or failing provider neither
   delays nor loses any of that.
2. The same step then requests vectors for the new chunks from EMBEDDING_MODEL, as long as the provider answers.
3. Documents that still lack vectors get them later, see `embedding_backlog`.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from documents.models import ChunkVector, Document, DocumentChunk, EmbeddingModel
from documents.search import vector_index
from workflows.errors import PermanentError, StepError

logger = logging.getLogger(__name__)

BATCH = 64
BATCH_CHARACTERS = 400_000
"""Providers limit both the texts and the tokens of a call."""
MIN_TEXT = 500
"""A text that the provider refuses as too long is cut down to this many characters before it is given up."""
MAX_QUESTION_TEXT = 2_000
"""The model gets the beginning of a longer question: models refuse long texts, and the answer would wait for it."""
QUESTION_SECONDS = 3.0
QUESTION_PAUSE = 30.0
CACHED_QUESTIONS = 1_000


def configured_model() -> EmbeddingModel | None:
    """Returns EMBEDDING_MODEL, whose row is created at its first use. None: there is no embedding model."""
    config = settings.CONFIG
    if not config.embedding_model or not (config.openai_api_key or config.openai_base_url):
        return None
    model, _ = EmbeddingModel.objects.get_or_create(name=config.embedding_model)
    return model


def embed_document(
    uid: UUID,
    model: EmbeddingModel,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Gives the document's current chunks the vectors that they lack. Returns how many it wrote.

    Raises what `client.embed` raises; vectors written before that stay. If the document is indexed again meanwhile,
    its new chunks are left to that step.
    """
    document = Document.objects.filter(pk=uid).first()
    if document is None or not document.generation:
        return 0
    chunks = _chunks_without_vectors(document, model)
    total, done, written = chunks.count(), 0, 0
    for batch in _batches(chunks.order_by("index").values_list("pk", "text").iterator(chunk_size=BATCH)):
        if is_stopped():
            return written
        found = _embed_texts([text for _, text in batch], model.name)
        vectors = {pk: vector for (pk, _), vector in zip(batch, found, strict=True) if vector is not None}
        vector_index.write(model, document.pk, document.owner_id, document.generation, vectors)
        done, written = done + len(batch), written + len(vectors)
        on_progress(done, total)
    # Only if the generation is unchanged: new chunks have no vectors yet.
    unchanged = Document.objects.filter(pk=uid, generation=document.generation)
    unchanged.update(embedded_by=model, embedded_generation=document.generation)
    return written


@dataclass(frozen=True)
class EmbeddedQuestion:
    model: EmbeddingModel
    vector: tuple[float, ...]


_paused_until = 0.0
_pause_lock = threading.Lock()


def embed_question(text: str) -> EmbeddedQuestion | None:
    """Returns None if there are no vectors to search, or if the provider does not answer: then full text has to do.

    Call it outside of transactions, as it waits for the provider.
    """
    if not settings.CONFIG.embedding_model or time.monotonic() < _paused_until:
        return None
    model = EmbeddingModel.objects.filter(is_active=True).exclude(dimensions=None).first()
    if model is None:
        return None
    try:
        return EmbeddedQuestion(model, _question_vector(text[:MAX_QUESTION_TEXT], model.name))
    except StepError as error:
        logger.warning("searching by full text only: %s", error.message)
        _pause_questions()
        return None


@lru_cache(CACHED_QUESTIONS)
def _question_vector(text: str, model: str) -> tuple[float, ...]:
    from workflows.llm import client  # the import takes 70 MB, and is needed only with an embedding model

    (vector,) = client.embed([text], model, seconds=QUESTION_SECONDS)
    return tuple(vector)


def _pause_questions() -> None:
    """Keeps the next searches from waiting for a provider that is known to be down."""
    global _paused_until
    with _pause_lock:
        _paused_until = time.monotonic() + QUESTION_PAUSE


def _chunks_without_vectors(document: Document, model: EmbeddingModel) -> QuerySet[DocumentChunk]:
    having = ChunkVector.objects.filter(model=model, document=document, generation=document.generation)
    return document.current_chunks().exclude(pk__in=having.values("chunk_id"))


def _embed_texts(texts: Sequence[str], model: str) -> list[list[float] | None]:
    """Returns a vector for each text, or None if the provider refuses it, however short it is cut."""
    from workflows.llm import client
    from workflows.llm.provider_errors import ContextTooLong

    try:
        return list(client.embed(texts, model))
    except PermanentError as error:
        if error.code not in ("model_rejected", ContextTooLong.code):
            raise
        if len(texts) > 1:
            half = len(texts) // 2
            return [*_embed_texts(texts[:half], model), *_embed_texts(texts[half:], model)]
        if len(texts[0]) > MIN_TEXT:
            return _embed_texts([texts[0][: max(len(texts[0]) // 2, MIN_TEXT)]], model)
        logger.warning("a chunk gets no vector: %s", error.message)
        return [None]


def _batches(rows: Iterator[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    while batch := list(islice(rows, BATCH)):
        while batch:
            size = count = 0
            for count, (_, text) in enumerate(batch, start=1):  # noqa: B007
                size += len(text)
                if size >= BATCH_CHARACTERS:
                    break
            yield batch[:count]
            batch = batch[count:]
