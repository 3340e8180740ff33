"""Vectors of passages, a partition for each model that makes them."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import documents.fields

CREATE = """
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
DROP = "DROP TABLE document_vectors"


class Migration(migrations.Migration):
    dependencies = [("documents", "0005_drop_chunk_search")]

    operations = [
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
            options={"db_table": "embedding_models"},
        ),
        migrations.AddConstraint(
            model_name="embeddingmodel",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_active", True)), fields=("is_active",), name="one_active_model"
            ),
        ),
        migrations.AddField(
            model_name="document",
            name="embedded_by",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="documents.embeddingmodel",
            ),
        ),
        migrations.AddField(
            model_name="document",
            name="embedded_generation",
            field=models.PositiveIntegerField(default=0, help_text="Of the chunks that have vectors of it."),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(CREATE, DROP)],
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
                        (
                            "model",
                            models.ForeignKey(
                                db_index=False,
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="+",
                                to="documents.embeddingmodel",
                            ),
                        ),
                        ("chunk_id", models.BigIntegerField()),
                        (
                            "document",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="documents.document"
                            ),
                        ),
                        ("generation", models.PositiveIntegerField()),
                        ("owner_id", models.BigIntegerField()),
                        ("embedding", documents.fields.HalfVectorField()),
                    ],
                    options={"db_table": "document_vectors"},
                ),
            ],
        ),
    ]
