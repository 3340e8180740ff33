import django.contrib.postgres.fields
import django.contrib.postgres.indexes
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
            name="WorkflowSchedule",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=aiworkstation.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("cron", models.CharField(blank=True, help_text="Empty if it has an interval.", max_length=100)),
                ("every_seconds", models.IntegerField(blank=True, null=True)),
                ("timezone", models.CharField(default="UTC", max_length=64)),
                (
                    "overlap",
                    models.CharField(
                        choices=[("skip", "Skip"), ("queue", "Queue"), ("allow", "Allow")],
                        default="skip",
                        max_length=10,
                    ),
                ),
                (
                    "missed",
                    models.CharField(choices=[("skip", "Skip"), ("once", "Once")], default="skip", max_length=10),
                ),
                ("is_paused", models.BooleanField(default=False)),
                ("next_run", models.DateTimeField(blank=True, help_text="Null while it is paused.", null=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="workflow_schedules",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "workflow",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="schedules", to="jobs.savedworkflow"
                    ),
                ),
            ],
            options={
                "db_table": "workflow_schedules",
                "ordering": ("-created_at", "-id"),
            },
        ),
        migrations.CreateModel(
            name="ScheduleRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("due_at", models.DateTimeField(blank=True, help_text="Null if a user started it.", null=True)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("started", "Started"),
                            ("queued", "Queued"),
                            ("skipped", "Skipped"),
                            ("missed", "Missed"),
                            ("refused", "Refused"),
                        ],
                        max_length=10,
                    ),
                ),
                ("error", models.TextField(blank=True, help_text="Why the job could not be started.")),
                (
                    "execution",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="workflows.workflowexecution",
                    ),
                ),
                (
                    "schedule",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="runs", to="jobs.workflowschedule"
                    ),
                ),
            ],
            options={
                "db_table": "workflow_schedule_runs",
                "ordering": ("-id",),
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
            model_name="workflowschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("cron", ""), ("every_seconds__gt", 0)),
                    models.Q(models.Q(("cron", ""), _negated=True), ("every_seconds", None)),
                    _connector="OR",
                ),
                name="schedule_cron_or_interval",
            ),
        ),
        migrations.AddConstraint(
            model_name="workflowschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("is_paused", True), ("next_run", None)),
                    models.Q(("is_paused", False), ("next_run__isnull", False)),
                    _connector="OR",
                ),
                name="schedule_paused_or_due",
            ),
        ),
        migrations.CreateModel(
            name="FailureMute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(help_text="The key of the group.", max_length=32)),
                ("note", models.CharField(blank=True, max_length=300)),
                (
                    "per_day",
                    models.IntegerField(help_text="How often it failed in the day before it was muted."),
                ),
                ("muted_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "db_table": "job_failure_mutes",
                "constraints": [models.UniqueConstraint(fields=("user", "key"), name="one_failure_mute")],
            },
        ),
        migrations.AddConstraint(
            model_name="schedulerun",
            constraint=models.UniqueConstraint(fields=("schedule", "due_at"), name="one_run_per_due_time"),
        ),
        migrations.AddConstraint(
            model_name="workflowversion",
            constraint=models.UniqueConstraint(fields=("workflow", "version"), name="workflow_version_number"),
        ),
        migrations.CreateModel(
            name="JobInput",
            fields=[
                (
                    "execution",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="input",
                        serialize=False,
                        to="workflows.workflowexecution",
                    ),
                ),
                ("terms", django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None)),
            ],
            options={
                "db_table": "job_inputs",
                "indexes": [django.contrib.postgres.indexes.GinIndex(fields=["terms"], name="job_input_terms")],
            },
        ),
        migrations.CreateModel(
            name="SavedView",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=aiworkstation.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=80)),
                ("filters", models.JSONField()),
                ("is_shared", models.BooleanField(default=False, help_text="Everybody may use it.")),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "owner",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="saved_views",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": "saved_views",
                "ordering": ("name", "pk"),
                "indexes": [
                    models.Index(condition=models.Q(("is_shared", True)), fields=["name"], name="saved_view_shared")
                ],
                "constraints": [models.UniqueConstraint(fields=("owner", "name"), name="saved_view_name")],
            },
        ),
    ]
