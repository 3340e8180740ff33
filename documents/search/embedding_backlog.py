"""The documents that still lack vectors of EMBEDDING_MODEL, and the switch to a new model.

Documents lack vectors if the provider failed, or if EMBEDDING_MODEL was changed. `catch_up` runs every minute and
starts a job for each of their owners; the engine retries its steps. When all documents have vectors of a new model,
search uses them and the old ones are deleted. Until then search uses the old ones, or full text only.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from documents.models import Document, DocumentQuerySet, EmbeddingModel
from documents.search import vector_index
from documents.search.embeddings import configured_model
from workflows import engine
from workflows.models import FINISHED_EXECUTION, ExecutionStatus, Queue, StepStatus, WorkflowExecution
from workflows.steps import NewExecution, NewStep

logger = logging.getLogger(__name__)

JOB_TYPE = "document-embed"
TOOL = "DOCUMENT_EMBED"
DOCUMENTS_PER_STEP, CHUNKS_PER_STEP = 50, 1_000
MAX_STEPS = 10_000
PAUSE_AFTER_FAILURE = timedelta(minutes=10)

# An advisory lock: two processes that catch up at the same time would start two jobs for an owner.
_CATCH_UP_LOCK = 0x656D6264


def catch_up() -> int:
    """Starts a job for each owner of documents that lack vectors of EMBEDDING_MODEL. Returns how many it started."""
    model = configured_model()
    if model is None:
        return 0
    with transaction.atomic():
        with connection.cursor() as cursor:
            # `try`: if another process is catching up, there is nothing left to do for this one.
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_CATCH_UP_LOCK])
            if not cursor.fetchone()[0]:
                return 0
        lacking = documents_without_vectors(model)
        owners = lacking.order_by("owner_id").values_list("owner_id", "owner__username").distinct()
        jobs = [_start_job(owner, name, model) for owner, name in owners if _may_start(owner)]
    activate_if_complete(model)
    return len(jobs)


def documents_without_vectors(model: EmbeddingModel) -> DocumentQuerySet:
    """Returns documents that lack the model's vectors, except those that a running step reads or embeds."""
    return Document.objects.without_vectors_of(model).exclude(step__status=StepStatus.RUNNING)


def activate_if_complete(model: EmbeddingModel) -> bool:
    """Lets search use the model if all documents have its vectors. Returns whether search uses it."""
    others = EmbeddingModel.objects.exclude(pk=model.pk)
    if model.is_active and not others.exists():
        return True
    if Document.objects.without_vectors_of(model).exists():
        return False
    if not EmbeddingModel.objects.filter(pk=model.pk, is_active=True).exists():
        with transaction.atomic():
            # The lock on all rows: if two steps finish together, one of them switches after the other.
            list(EmbeddingModel.objects.select_for_update().order_by("pk"))
            others.update(is_active=False)
            EmbeddingModel.objects.filter(pk=model.pk).update(is_active=True)
        logger.info("search uses the vectors of %s", model.name)
    # After the switch is committed: until then, searches use the old vectors.
    for old in others.filter(is_active=False):
        forget_model(old)
    return True


def forget_model(model: EmbeddingModel) -> None:
    """Deletes the model and its vectors."""
    with transaction.atomic():
        # The partition first: deleting the model's row would cascade to its vectors one by one.
        vector_index.drop_partition(model.pk)
        Document.objects.filter(embedded_by=model).update(embedded_by=None, embedded_generation=0)
        EmbeddingModel.objects.filter(pk=model.pk).delete()
    logger.info("the vectors of %s are deleted", model.name)


def _may_start(owner_id: int) -> bool:
    """Whether the owner has no unfinished job of this type, and none that failed recently."""
    jobs = WorkflowExecution.objects.filter(owner_id=owner_id, job_type=JOB_TYPE)
    recent = Q(finished_at__gt=timezone.now() - PAUSE_AFTER_FAILURE) & ~Q(status=ExecutionStatus.COMPLETED)
    return not jobs.filter(~Q(status__in=FINISHED_EXECUTION) | recent).exists()


def _start_job(owner_id: int, username: str, model: EmbeddingModel) -> UUID:
    """Starts a job of low priority with a step for each group of the owner's documents."""
    lacking = documents_without_vectors(model).filter(owner_id=owner_id)
    groups = list(islice(_groups(list(lacking.order_by("pk").values_list("pk", "chunk_count"))), MAX_STEPS))
    steps = [
        NewStep(_count_documents(len(group)), tool=TOOL, arguments={"documentIds": [str(uid) for uid in group]})
        for group in groups
    ]
    job = NewExecution(
        owner_id=owner_id,
        job_type=JOB_TYPE,
        name=f"Embed {_count_documents(sum(map(len, groups)))} with {model.name}"[:200],
        steps=steps,
        description="Vectors of chunks, for search by meaning.",
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
        if chunks >= CHUNKS_PER_STEP or len(group) >= DOCUMENTS_PER_STEP:
            yield group
            group, chunks = [], 0
    if group:
        yield group


def _count_documents(count: int) -> str:
    return f"{count:,} document" + ("" if count == 1 else "s")
