import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import aiworkstation.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("workflows", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="SavedWorkflow",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=aiworkstation.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=64)),
                ("version", models.IntegerField(default=1)),
                ("payload", models.JSONField()),
                ("is_shared", models.BooleanField(default=False, help_text="Everybody may read and run it.")),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("updated_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "owner",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="saved_workflows",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": "saved_workflows",
                "ordering": ("-created_at", "-id"),
            },
        ),
        migrations.CreateModel(
            name="WorkflowVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("version", models.IntegerField()),
                ("payload", models.JSONField()),
                ("created_by", models.CharField(max_length=150)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "workflow",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="versions",
                        to="jobs.savedworkflow",
                    ),
                ),
            ],
            options={
                "db_table": "saved_workflow_versions",
                "ordering": ("-version",),
            },
        ),
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=255)),
                ("body_sha256", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "execution",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="workflows.workflowexecution"
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "db_table": "job_idempotency_keys",
                "constraints": [models.UniqueConstraint(fields=("owner", "key"), name="idempotency_key")],
            },
        ),
        migrations.AddIndex(
            model_name="savedworkflow",
            index=models.Index(condition=models.Q(("is_shared", True)), fields=["name"], name="saved_workflow_shared"),
        ),
        migrations.AddConstraint(
            model_name="savedworkflow",
            constraint=models.UniqueConstraint(fields=("owner", "name"), name="saved_workflow_name"),
        ),
        migrations.AddConstraint(
            model_name="workflowversion",
            constraint=models.UniqueConstraint(fields=("workflow", "version"), name="workflow_version_number"),
        ),
    ]
