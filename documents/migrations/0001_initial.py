"""Documents, what search reads of them, and the schedules that look after them. Needs pgvector."""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
import django.db.models.functions.datetime
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.utils import ProgrammingError

import aiworkstation.ids
import documents.vector_fields

MIN_PGVECTOR = (0, 8)

# A partition for each model that makes vectors.
CREATE_VECTORS = """
CREATE TABLE document_vectors (
  model_id bigint NOT NULL REFERENCES embedding_models (id) DEFERRABLE INITIALLY DEFERRED,
  chunk_id bigint NOT NULL,
  document_id uuid NOT NULL REFERENCES documents (uid) DEFERRABLE INITIALLY DEFERRED,
  generation integer NOT NULL CHECK (generation >= 0),
  owner_id bigint NOT NULL,
  embedding halfvec NOT NULL,
  PRIMARY KEY (model_id, chunk_id)
) PARTITION BY LIST (model_id);
CREATE INDEX vectors_by_document ON document_vectors (document_id);
"""

# Scores are computed from the row itself, so `impacts` and `neighbours` stay in it. MAIN and not PLAIN, which has no
# room for chunks of several thousand words. The statistics show how many chunks have a word.
STORAGE = """
ALTER TABLE document_terms ALTER impacts SET STORAGE MAIN, ALTER neighbours SET STORAGE MAIN,
  ALTER lexemes SET STATISTICS 1000
"""

SCHEDULES: dict[str, dict[str, object]] = {
    "Embed what has no vectors yet": {
        "func": "documents.search.catch_up",
        "kwargs": "q_options={'save': False}",
        "schedule_type": "I",
        "minutes": 1,
    },
    "Delete files that no document names": {
        "func": "documents.storage.orphaned_files.sweep_daily",
        "schedule_type": "D",
    },
}


def create_extension(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    with editor.connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
        if cursor.fetchone() is None:
            raise ProgrammingError("This PostgreSQL server has no pgvector: install it there (version 0.8 or newer).")
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        (is_superuser,) = cursor.fetchone()
        cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        found = cursor.fetchone()
        if found is None and not is_superuser:
            raise ProgrammingError(
                "pgvector is not active in this database: have a superuser run CREATE EXTENSION vector there, once."
            )
        cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
        cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        (version,) = cursor.fetchone()
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_PGVECTOR:
        raise ProgrammingError(
            f"pgvector {version} is too old: install 0.8 or newer and run ALTER EXTENSION vector UPDATE."
        )


def add_schedules(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    for name, schedule in SCHEDULES.items():
        apps.get_model("django_q", "Schedule").objects.get_or_create(name=name, defaults={**schedule, "repeats": -1})


def remove_schedules(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("django_q", "Schedule").objects.filter(name__in=SCHEDULES).delete()


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
        ("workflows", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        # Reversed, the extension stays: others may use it.
        migrations.RunPython(create_extension, migrations.RunPython.noop),
        migrations.CreateModel(
            name="EmbeddingModel",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200, unique=True)),
                ("dimensions", models.PositiveIntegerField(null=True)),
                (
                    "is_active",
                    models.BooleanField(default=False, help_text="All documents have its vectors: search uses them."),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
            ],
            options={
                "db_table": "embedding_models",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("is_active", True)), fields=("is_active",), name="one_active_model"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Document",
            fields=[
                (
                    "uid",
                    models.UUIDField(
                        default=aiworkstation.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("client_id", models.CharField(help_text="The owner's id for the document.", max_length=64)),
                ("filename", models.CharField(max_length=255)),
                ("file_type", models.CharField(blank=True, max_length=20)),
                ("file_size", models.BigIntegerField()),
                (
                    "text_size",
                    models.BigIntegerField(
                        default=0, help_text="Bytes of its pages and chunks, which count against the owner's quota too."
                    ),
                ),
                ("sha256", models.CharField(max_length=64)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("uploaded", "Uploaded"),
                            ("queued", "Queued"),
                            ("processing", "Processing"),
                            ("indexed", "Indexed"),
                            ("failed", "Failed"),
                        ],
                        default="uploaded",
                        max_length=20,
                    ),
                ),
                ("error", models.JSONField(blank=True, null=True)),
                ("warnings", models.JSONField(blank=True, default=list)),
                ("metadata", models.JSONField(blank=True, default=dict)),
                (
                    "language",
                    models.CharField(
                        blank=True,
                        help_text="The language of Latin letters, as its stemmer.",
                        max_length=20,
                    ),
                ),
                ("page_count", models.PositiveIntegerField(blank=True, null=True)),
                ("word_count", models.PositiveIntegerField(blank=True, null=True)),
                ("chunk_count", models.PositiveIntegerField(default=0)),
                ("chunk_size", models.PositiveIntegerField(blank=True, null=True)),
                ("overlap", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "generation",
                    models.PositiveIntegerField(default=0, help_text="The current one, which is shown and searched."),
                ),
                (
                    "embedded_generation",
                    models.PositiveIntegerField(default=0, help_text="The one with vectors of embedded_by."),
                ),
                (
                    "latest_generation",
                    models.PositiveIntegerField(default=0, help_text="The one of the reading that began last."),
                ),
                ("project_id", models.CharField(blank=True, max_length=200)),
                (
                    "tags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100), blank=True, default=list, size=None
                    ),
                ),
                ("mode", models.CharField(default="General", max_length=60)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("indexed_at", models.DateTimeField(blank=True, null=True)),
                ("changed_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "duplicate_of",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="duplicates",
                        to="documents.document",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="documents",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="members",
                        to="documents.document",
                    ),
                ),
                (
                    "step",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="documents",
                        to="workflows.workflowstep",
                    ),
                ),
                (
                    "embedded_by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="documents.embeddingmodel",
                    ),
                ),
            ],
            options={
                "db_table": "documents",
                "ordering": ("-created_at", "-uid"),
            },
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(CREATE_VECTORS, "DROP TABLE document_vectors")],
            state_operations=[
                migrations.CreateModel(
                    name="ChunkVector",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "model_id", "chunk_id", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("chunk_id", models.BigIntegerField()),
                        ("generation", models.PositiveIntegerField()),
                        ("owner_id", models.BigIntegerField()),
                        ("embedding", documents.vector_fields.HalfVectorField()),
                        (
                            "document",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="documents.document"
                            ),
                        ),
                        (
                            "model",
                            models.ForeignKey(
                                db_index=False,
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="+",
                                to="documents.embeddingmodel",
                            ),
                        ),
                    ],
                    options={
                        "db_table": "document_vectors",
                    },
                ),
            ],
        ),
        migrations.CreateModel(
            name="ChunkTerms",
            fields=[
                ("chunk_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("generation", models.PositiveIntegerField()),
                (
                    "length",
                    models.PositiveIntegerField(help_text="In words, or in characters for a script without blanks."),
                ),
                ("average", models.FloatField(help_text="The mean length of all chunks when this one was written.")),
                ("impacts", documents.vector_fields.SparseVectorField(dimensions=1000000000)),
                ("neighbours", models.BinaryField()),
                ("lexemes", django.contrib.postgres.search.SearchVectorField()),
                (
                    "document",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="documents.document"
                    ),
                ),
            ],
            options={
                "db_table": "document_terms",
                "indexes": [
                    django.contrib.postgres.indexes.GinIndex(
                        fastupdate=True, fields=["lexemes"], gin_pending_list_limit=64, name="terms_by_lexeme"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DocumentNames",
            fields=[
                (
                    "document",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="documents.document",
                    ),
                ),
                ("impacts", documents.vector_fields.SparseVectorField(dimensions=1000000000)),
                ("lexemes", django.contrib.postgres.search.SearchVectorField()),
            ],
            options={
                "db_table": "document_names",
                "indexes": [
                    django.contrib.postgres.indexes.GinIndex(
                        fastupdate=True, fields=["lexemes"], gin_pending_list_limit=64, name="names_by_lexeme"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DocumentChunk",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("generation", models.PositiveIntegerField()),
                ("index", models.PositiveIntegerField()),
                ("page", models.PositiveIntegerField()),
                ("start", models.PositiveIntegerField()),
                ("end", models.PositiveIntegerField()),
                ("tokens", models.PositiveIntegerField()),
                ("text", models.TextField()),
                (
                    "document",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="chunks", to="documents.document"
                    ),
                ),
            ],
            options={
                "db_table": "document_chunks",
                "ordering": ("document_id", "index"),
                "constraints": [
                    models.UniqueConstraint(fields=("document", "generation", "index"), name="document_chunk")
                ],
            },
        ),
        migrations.CreateModel(
            name="DocumentPage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("generation", models.PositiveIntegerField()),
                ("number", models.PositiveIntegerField()),
                ("text", models.TextField()),
                ("rows", models.JSONField(blank=True, null=True)),
                (
                    "document",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="pages", to="documents.document"
                    ),
                ),
            ],
            options={
                "db_table": "document_pages",
                "ordering": ("document_id", "number"),
                "constraints": [
                    models.UniqueConstraint(fields=("document", "generation", "number"), name="document_page")
                ],
            },
        ),
        migrations.AddIndex(
            model_name="document",
            index=models.Index(fields=["owner", "-created_at", "-uid"], name="document_by_owner"),
        ),
        migrations.AddIndex(
            model_name="document",
            index=models.Index(fields=["sha256"], name="document_by_sha256"),
        ),
        migrations.AddIndex(
            model_name="document",
            index=models.Index(fields=["owner", "language"], name="document_by_language"),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.UniqueConstraint(fields=("owner", "client_id"), name="document_client_id"),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["uploaded", "indexed", "failed"])), name="document_status"
            ),
        ),
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
        migrations.RunPython(add_schedules, remove_schedules),
    ]
