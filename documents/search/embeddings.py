"""Passages into vectors, behind the full text.

1. Reading a document writes its full-text index and makes it the present one. A provider that is slow, busy or down
   delays nothing of that and loses nothing.
2. The same step then asks EMBEDDING_MODEL for the vectors of the new passages, as long as the provider answers.
3. What has no vectors then, since the provider failed or EMBEDDING_MODEL was changed, is found by `catch_up`, which
   runs every minute: it starts a job of each owner, and the engine retries.
4. When all documents have vectors of a new model, search uses them and the old ones go. Until then it uses the old
   ones, or the full text alone.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import islice
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from documents.models import ChunkVector, Document, DocumentChunk, DocumentQuerySet, EmbeddingModel
from documents.search import vectors
from workflows import engine
from workflows.errors import PermanentError, StepError
from workflows.models import FINISHED_EXECUTION, ExecutionStatus, Queue, StepStatus, WorkflowExecution
from workflows.steps import NewExecution, NewStep

logger = logging.getLogger(__name__)

JOB_TYPE = "document-embed"
TOOL = "DOCUMENT_EMBED"
BATCH = 64
BATCH_CHARACTERS = 400_000
"""Providers limit both the texts and the tokens of a call."""
SHORTEST = 500
DOCUMENTS_OF_A_STEP, CHUNKS_OF_A_STEP = 50, 1_000
MAX_STEPS = 10_000
REST_AFTER_FAILURE = timedelta(minutes=10)
QUESTION_SECONDS = 3.0
QUESTION_REST = 30.0
QUESTIONS_KEPT = 1_000

_STARTING_JOBS = 0x656D6264  # an advisory lock: one at a time looks for documents without vectors

Report = Callable[[int, int], None]
"""Chunks done, and of how many."""


def configured_model() -> EmbeddingModel | None:
    """EMBEDDING_MODEL, with a row from its first use on; None where vectors are off."""
    config = settings.CONFIG
    if not config.embedding_model or not (config.openai_api_key or config.openai_base_url):
        return None
    model, _ = EmbeddingModel.objects.get_or_create(name=config.embedding_model)
    return model


def embed_document(
    uid: UUID,
    model: EmbeddingModel,
    report: Report = lambda done, total: None,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Gives the document's present chunks what they lack of the model's vectors; how many got one.

    Raises what `client.embed` raises; what was written until then stays. A document that is read again meanwhile is
    left to that reading.
    """
    document = Document.objects.filter(pk=uid).first()
    if document is None or not document.generation:
        return 0
    chunks = _without_vectors(document, model)
    total, done, written = chunks.count(), 0, 0
    for batch in _batches(chunks.order_by("index").values_list("pk", "text").iterator(chunk_size=BATCH)):
        if stopped():
            return written
        found = _embedded([text for _, text in batch], model.name)
        got = {pk: vector for (pk, _), vector in zip(batch, found, strict=True) if vector is not None}
        vectors.write(model, document.pk, document.owner_id, document.generation, got)
        done, written = done + len(batch), written + len(got)
        report(done, total)
    same = Document.objects.filter(pk=uid, generation=document.generation)
    same.update(embedded_by=model, embedded_generation=document.generation)
    return written


def catch_up() -> int:
    """Starts a job for each owner of documents without vectors of EMBEDDING_MODEL; how many it started."""
    model = configured_model()
    if model is None:
        return 0
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_STARTING_JOBS])
            if not cursor.fetchone()[0]:
                return 0
        owners = lacking(model).order_by("owner_id").values_list("owner_id", "owner__username").distinct()
        jobs = [_start_job(owner, name, model) for owner, name in owners if _may_start(owner)]
    activate_if_whole(model)
    return len(jobs)


def lacking(model: EmbeddingModel) -> DocumentQuerySet:
    """Documents without the model's vectors, but for those that a step reads or embeds at this moment."""
    return Document.objects.without_vectors_of(model).exclude(step__status=StepStatus.RUNNING)


def activate_if_whole(model: EmbeddingModel) -> bool:
    """Lets search use the model where all documents have its vectors; True where it does."""
    others = EmbeddingModel.objects.exclude(pk=model.pk)
    if model.is_active and not others.exists():
        return True
    if Document.objects.without_vectors_of(model).exists():
        return False
    if not EmbeddingModel.objects.filter(pk=model.pk, is_active=True).exists():
        with transaction.atomic():
            # The lock: of two that end together one switches.
            list(EmbeddingModel.objects.select_for_update().order_by("pk"))
            others.update(is_active=False)
            EmbeddingModel.objects.filter(pk=model.pk).update(is_active=True)
        logger.info("search uses the vectors of %s", model.name)
    for old in others.filter(is_active=False):
        forget(old)
    return True


def forget(model: EmbeddingModel) -> None:
    """The partition first: the row's end would delete its vectors one by one."""
    with transaction.atomic():
        vectors.drop(model.pk)
        Document.objects.filter(embedded_by=model).update(embedded_by=None, embedded_generation=0)
        EmbeddingModel.objects.filter(pk=model.pk).delete()
    logger.info("the vectors of %s are deleted", model.name)


@dataclass(frozen=True)
class EmbeddedQuestion:
    model: EmbeddingModel
    vector: tuple[float, ...]


_rest_until = 0.0
_rest_lock = threading.Lock()


def embed_question(text: str) -> EmbeddedQuestion | None:
    """None where there are no vectors to search, or where the provider does not answer: full text does, then.

    To be called outside of transactions.
    """
    if not settings.CONFIG.embedding_model or time.monotonic() < _rest_until:
        return None
    model = EmbeddingModel.objects.filter(is_active=True).exclude(dimensions=None).first()
    if model is None:
        return None
    try:
        return EmbeddedQuestion(model, _vector_of(text, model.name))
    except StepError as error:
        logger.warning("search by full text alone: %s", error.message)
        _rest()
        return None


@lru_cache(QUESTIONS_KEPT)
def _vector_of(text: str, model: str) -> tuple[float, ...]:
    from workflows.llm import client  # takes 70 MB, and only where vectors are on

    (vector,) = client.embed([text], model, seconds=QUESTION_SECONDS)
    return tuple(vector)


def _rest() -> None:
    """Searches do not wait for a provider that is known to be down."""
    global _rest_until
    with _rest_lock:
        _rest_until = time.monotonic() + QUESTION_REST


def _without_vectors(document: Document, model: EmbeddingModel) -> QuerySet[DocumentChunk]:
    having = ChunkVector.objects.filter(model=model, document=document, generation=document.generation)
    return document.current_chunks().exclude(pk__in=having.values("chunk_id"))


def _embedded(texts: Sequence[str], model: str) -> list[list[float] | None]:
    """None for a text that the provider refuses, however short it is cut."""
    from workflows.llm import client
    from workflows.llm.provider_errors import ContextTooLong

    try:
        return list(client.embed(texts, model))
    except PermanentError as error:
        if error.code not in ("model_rejected", ContextTooLong.code):
            raise
        if len(texts) > 1:
            half = len(texts) // 2
            return [*_embedded(texts[:half], model), *_embedded(texts[half:], model)]
        if len(texts[0]) > SHORTEST:
            return _embedded([texts[0][: max(len(texts[0]) // 2, SHORTEST)]], model)
        logger.warning("a passage is left without a vector: %s", error.message)
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


def _may_start(owner_id: int) -> bool:
    jobs = WorkflowExecution.objects.filter(owner_id=owner_id, job_type=JOB_TYPE)
    recent = Q(finished_at__gt=timezone.now() - REST_AFTER_FAILURE) & ~Q(status=ExecutionStatus.COMPLETED)
    return not jobs.filter(~Q(status__in=FINISHED_EXECUTION) | recent).exists()


def _start_job(owner_id: int, username: str, model: EmbeddingModel) -> UUID:
    """A step for some documents each, five at a time, behind all other work."""
    documents = list(lacking(model).filter(owner_id=owner_id).order_by("pk").values_list("pk", "chunk_count"))
    groups = list(islice(_groups(documents), MAX_STEPS))
    steps = [
        NewStep(_numbered(len(group)), tool=TOOL, arguments={"documentIds": [str(uid) for uid in group]})
        for group in groups
    ]
    job = NewExecution(
        owner_id=owner_id,
        job_type=JOB_TYPE,
        name=f"Embed {_numbered(sum(map(len, groups)))} with {model.name}"[:200],
        steps=steps,
        description="Vectors of passages, for search by meaning.",
        queue=Queue.LOW,
        tolerates_failures=True,
    )
    return engine.start(job, actor=username)


def _groups(documents: Sequence[tuple[UUID, int]]) -> Iterator[list[UUID]]:
    group: list[UUID] = []
    chunks = 0
    for uid, count in documents:
        group.append(uid)
        chunks += count
        if chunks >= CHUNKS_OF_A_STEP or len(group) >= DOCUMENTS_OF_A_STEP:
            yield group
            group, chunks = [], 0
    if group:
        yield group


def _numbered(count: int) -> str:
    return f"{count:,} document" + ("" if count == 1 else "s")
