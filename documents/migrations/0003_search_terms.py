"""The table that search reads, ranked by BM25 with pgvector's sparse vectors.

Going back leaves the extension where it is: others may use it.
"""

import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.db.utils import ProgrammingError

import documents.fields

MIN_PGVECTOR = (0, 8)


def create_extension(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
        if cursor.fetchone() is None:
            raise ProgrammingError("This PostgreSQL server has no pgvector: install it there (version 0.8 or newer).")
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        (is_superuser,) = cursor.fetchone()
        cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        found = cursor.fetchone()
        if found is None and not is_superuser:
            raise ProgrammingError(
                "pgvector is not active in this database: let a superuser say CREATE EXTENSION vector there, once."
            )
        cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
        cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        (version,) = cursor.fetchone()
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_PGVECTOR:
        raise ProgrammingError(
            f"pgvector {version} is too old: install 0.8 or newer and say ALTER EXTENSION vector UPDATE."
        )


class Migration(migrations.Migration):
    dependencies = [("documents", "0002_generations_and_search")]

    operations = [
        migrations.RunPython(create_extension, migrations.RunPython.noop),
        migrations.AddField(
            model_name="document",
            name="language",
            field=models.CharField(
                blank=True, default="", help_text="Of its words in Latin letters; as its stemmer.", max_length=20
            ),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name="document", index=models.Index(fields=["language"], name="document_by_language")
        ),
        migrations.CreateModel(
            name="ChunkTerms",
            fields=[
                ("chunk_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("generation", models.PositiveIntegerField()),
                (
                    "length",
                    models.PositiveIntegerField(help_text="In words; in a script without blanks, in characters."),
                ),
                ("impacts", documents.fields.SparseVectorField(dimensions=1_000_000_000)),
                ("lexemes", django.contrib.postgres.search.SearchVectorField()),
                (
                    "document",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="documents.document"
                    ),
                ),
            ],
            options={"db_table": "document_terms"},
        ),
        # The scores are read from the row itself, the lexemes beside it. MAIN and not PLAIN, which has no place for
        # chunks of several thousand words. The statistics say how many chunks have a word.
        migrations.RunSQL(
            "ALTER TABLE document_terms ALTER impacts SET STORAGE MAIN, ALTER lexemes SET STATISTICS 1000",
            migrations.RunSQL.noop,
        ),
        # Without its list of pending entries, which every search would read through.
        migrations.AddIndex(
            model_name="chunkterms",
            index=django.contrib.postgres.indexes.GinIndex(
                fastupdate=False, fields=["lexemes"], name="terms_by_lexeme"
            ),
        ),
    ]
