"""Documents: files, their pages, and the chunks that search finds."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import connection, models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now

from aiworkstation.access.models import OwnedQuerySet
from aiworkstation.ids import uuid7
from documents.vector_fields import HalfVectorField, SparseVectorField
from workflows.models import CLAIMABLE, Mode, StepStatus, WorkflowStep


class DocumentStatus(models.TextChoices):
    UPLOADED = "uploaded"
    QUEUED = "queued"  # a job has a step for it
    PROCESSING = "processing"  # this step is running
    INDEXED = "indexed"
    FAILED = "failed"


class DocumentQuerySet(OwnedQuerySet["Document"]):
    def with_state(self) -> "DocumentQuerySet":
        """Annotates `state`, which is queued or processing if a step is going to read the document or is reading it."""
        waiting = Q(step__status__in=[*CLAIMABLE, StepStatus.PENDING])
        return self.annotate(
            state=Case(  # type: ignore[no-redef]  # declared on Document
                When(waiting, then=Value(DocumentStatus.QUEUED.value)),
                When(step__status=StepStatus.RUNNING, then=Value(DocumentStatus.PROCESSING.value)),
                default=F("status"),
            )
        )

    def without_vectors_of(self, model: "EmbeddingModel") -> "DocumentQuerySet":
        """Returns indexed documents whose current chunks do not all have vectors of this model."""
        return self.filter(generation__gt=0).exclude(embedded_by=model, embedded_generation=F("generation"))

    def attach(
        self,
        execution_id: UUID,
        *,
        only: Sequence[UUID] | None = None,
        project_id: str = "",
        tags: Sequence[str] = (),
        mode: str = "",
    ) -> None:
        """Links documents to the steps of a new job that name them, and adds the job's labels to them.

        An empty value keeps the document's own. `only` restricts it to these documents, for steps added later.
        """
        wanted = None if only is None else list(only)
        values = {"execution": execution_id, "only": wanted, "project": project_id, "tags": list(tags), "mode": mode}
        with connection.cursor() as cursor:
            cursor.execute(_ATTACH, values)


# Rows are locked in the order of their ids: another job that attaches the same documents could deadlock otherwise.
_ATTACH = """
WITH named AS (
  SELECT d.uid, s.id AS step FROM workflow_steps s JOIN documents d ON d.uid = (s.arguments->>'documentId')::uuid
  WHERE s.execution_id = %(execution)s AND (%(only)s::uuid[] IS NULL OR d.uid = ANY(%(only)s::uuid[]))
  ORDER BY d.uid FOR NO KEY UPDATE OF d
)
UPDATE documents d SET
  step_id = named.step, changed_at = clock_timestamp(),
  project_id = coalesce(nullif(%(project)s, ''), d.project_id), mode = coalesce(nullif(%(mode)s, ''), d.mode),
  tags = d.tags || ARRAY(SELECT tag FROM unnest(%(tags)s::varchar[]) AS tag WHERE tag <> ALL (d.tags))
FROM named WHERE d.uid = named.uid
"""


class Document(models.Model):
    """A file of a user. `status` is the result of the last finished reading. `with_state` adds the current state."""

    uid = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="documents")
    client_id = models.CharField(max_length=64, help_text="The owner's id for the document.")
    filename = models.CharField(max_length=255)
    file_type = models.CharField(max_length=20, blank=True)
    file_size = models.BigIntegerField()
    text_size = models.BigIntegerField(
        default=0, help_text="Bytes of its pages and chunks, which count against the owner's quota too."
    )
    sha256 = models.CharField(max_length=64)
    duplicate_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="duplicates"
    )
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="members")
    status = models.CharField(max_length=20, choices=DocumentStatus.choices, default=DocumentStatus.UPLOADED)
    step = models.ForeignKey(WorkflowStep, null=True, blank=True, on_delete=models.SET_NULL, related_name="documents")
    error = models.JSONField(null=True, blank=True)
    warnings = models.JSONField(default=list, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    language = models.CharField(max_length=20, blank=True, help_text="The language of Latin letters, as its stemmer.")
    page_count = models.PositiveIntegerField(null=True, blank=True)
    word_count = models.PositiveIntegerField(null=True, blank=True)
    chunk_count = models.PositiveIntegerField(default=0)
    chunk_size = models.PositiveIntegerField(null=True, blank=True)
    overlap = models.PositiveIntegerField(null=True, blank=True)
    generation = models.PositiveIntegerField(default=0, help_text="The current one, which is shown and searched.")
    embedded_by = models.ForeignKey(
        "EmbeddingModel", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    embedded_generation = models.PositiveIntegerField(default=0, help_text="The one with vectors of embedded_by.")
    latest_generation = models.PositiveIntegerField(default=0, help_text="The one of the reading that began last.")
    project_id = models.CharField(max_length=200, blank=True)
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    mode = models.CharField(max_length=60, default=Mode.DEFAULT)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    indexed_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(db_default=Now())

    objects = DocumentQuerySet.as_manager()

    state: str
    """Set by `with_state`."""

    class Meta:
        db_table = "documents"
        ordering = ("-created_at", "-uid")
        indexes = (
            models.Index(fields=["owner", "-created_at", "-uid"], name="document_by_owner"),
            models.Index(fields=["sha256"], name="document_by_sha256"),
            models.Index(fields=["owner", "language"], name="document_by_language"),
        )
        constraints = (
            models.UniqueConstraint(fields=["owner", "client_id"], name="document_client_id"),
            models.CheckConstraint(condition=Q(status__in=["uploaded", "indexed", "failed"]), name="document_status"),
        )

    def __str__(self) -> str:
        return self.filename

    @property
    def is_being_worked_on(self) -> bool:
        return self.step is not None and self.step.status in (
            StepStatus.PENDING,
            StepStatus.READY,
            StepStatus.WAITING,
            StepStatus.RUNNING,
        )

    @property
    def path(self) -> Path:
        """Where the bytes are stored. Their hash is the name, so no path has a part that a user chose."""
        return path_of(self.sha256)

    def current_pages(self) -> "models.QuerySet[DocumentPage]":
        return DocumentPage.objects.filter(document=self, generation=self.generation)

    def current_chunks(self) -> "models.QuerySet[DocumentChunk]":
        return DocumentChunk.objects.filter(document=self, generation=self.generation)

    def id_for(self, user: AbstractBaseUser | AnonymousUser) -> str:
        """Returns the id that the user has for it: the owner's own id, or the uid for everybody else."""
        return self.client_id if user.pk == self.owner_id else str(self.uid)


def path_of(sha256: str) -> Path:
    return Path(settings.MEDIA_ROOT) / sha256[:2] / sha256


class DocumentPage(models.Model):
    """The text of a page as it was indexed, with `rows` if the page is a table."""

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="pages")
    generation = models.PositiveIntegerField()
    number = models.PositiveIntegerField()
    text = models.TextField()
    rows = models.JSONField(null=True, blank=True)

    class Meta:
        db_table = "document_pages"
        ordering = ("document_id", "number")
        constraints = (models.UniqueConstraint(fields=["document", "generation", "number"], name="document_page"),)

    def __str__(self) -> str:
        return f"{self.document_id} page {self.number}"


class DocumentChunk(models.Model):
    """A piece of a page that search finds. `start` and `end` are character offsets in the document's text."""

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="chunks")
    generation = models.PositiveIntegerField()
    index = models.PositiveIntegerField()
    page = models.PositiveIntegerField()
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    tokens = models.PositiveIntegerField()
    text = models.TextField()

    class Meta:
        db_table = "document_chunks"
        ordering = ("document_id", "index")
        constraints = (models.UniqueConstraint(fields=["document", "generation", "index"], name="document_chunk"),)

    def __str__(self) -> str:
        return f"{self.document_id} chunk {self.index}"


class ChunkTerms(models.Model):
    """The full-text index of a chunk, see `search/full_text_index.py`. Its own table: small rows read faster."""

    # No foreign key: chunks and these rows are deleted together, by document and generation.
    chunk_id = models.BigIntegerField(primary_key=True)
    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="+")
    generation = models.PositiveIntegerField()
    length = models.PositiveIntegerField(help_text="In words, or in characters for a script without blanks.")
    average = models.FloatField(help_text="The mean length of all chunks when this one was written.")
    impacts = SparseVectorField(dimensions=1_000_000_000)
    neighbours = models.BinaryField()
    lexemes = SearchVectorField()

    class Meta:
        db_table = "document_terms"
        # The list of pending entries is kept short, because every search scans it.
        indexes = (GinIndex(fields=["lexemes"], name="terms_by_lexeme", fastupdate=True, gin_pending_list_limit=64),)

    def __str__(self) -> str:
        return f"terms of chunk {self.chunk_id}"


class DocumentNames(models.Model):
    """The words of a document's file name, title and tags, see `search/name_index.py`."""

    document = models.OneToOneField(Document, on_delete=models.CASCADE, primary_key=True, related_name="+")
    impacts = SparseVectorField(dimensions=1_000_000_000)
    lexemes = SearchVectorField()

    class Meta:
        db_table = "document_names"
        indexes = (GinIndex(fields=["lexemes"], name="names_by_lexeme", fastupdate=True, gin_pending_list_limit=64),)

    def __str__(self) -> str:
        return f"names of {self.document_id}"


class EmbeddingModel(models.Model):
    """A model that makes vectors of chunks. `dimensions` is null until it has answered once."""

    name = models.CharField(max_length=200, unique=True)
    dimensions = models.PositiveIntegerField(null=True)
    is_active = models.BooleanField(default=False, help_text="All documents have its vectors: search uses them.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "embedding_models"
        constraints = (
            models.UniqueConstraint(fields=["is_active"], condition=Q(is_active=True), name="one_active_model"),
        )

    def __str__(self) -> str:
        return self.name


class ChunkVector(models.Model):
    """The vector of a chunk, scaled to length 1. Each model has a partition, see `search/vector_index.py`."""

    pk = models.CompositePrimaryKey("model_id", "chunk_id")
    model = models.ForeignKey(EmbeddingModel, on_delete=models.CASCADE, related_name="+", db_index=False)
    # No foreign key: chunks and these rows are deleted together, by document and generation.
    chunk_id = models.BigIntegerField()
    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="+")
    generation = models.PositiveIntegerField()
    owner_id = models.BigIntegerField()
    embedding = HalfVectorField()

    class Meta:
        db_table = "document_vectors"

    def __str__(self) -> str:
        return f"vector of chunk {self.chunk_id}"
