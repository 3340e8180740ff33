"""The engine's tables, its functions, and the modes that exist from the start."""

from pathlib import Path

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import aiworkstation.ids
from workflows.engine.sql import functions

# Room for updates, and vacuum by absolute numbers, in the tables that change with every step.
HOT_TABLES = ("workflow_executions", "workflow_steps")
QUEUE = "django_q_ormq"
VACUUM = {
    "autovacuum_vacuum_scale_factor": 0,
    "autovacuum_vacuum_threshold": 5000,
    "autovacuum_analyze_scale_factor": 0,
    "autovacuum_analyze_threshold": 20000,
}

MODES = {
    "General": "You are a careful assistant. Work only with the material that you are given, and say what is missing.",
    "Sales": (
        "You work for a sales team. Name customers, amounts and dates exactly as they appear in the material, "
        "and end with the next steps that follow from it."
    ),
    "Admin": (
        "You work for an administration. Be formal and complete, keep names, numbers and references exact, "
        "and list what needs a decision."
    ),
}
PRUNE = "Delete finished jobs after RETENTION_DAYS"


def storage(table: str, **parameters: int) -> migrations.RunSQL:
    values = ", ".join(f"{name} = {value}" for name, value in parameters.items())
    return migrations.RunSQL(
        f"ALTER TABLE {table} SET ({values})", f"ALTER TABLE {table} RESET ({', '.join(parameters)})"
    )


def add_rows(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    for name, prompt in MODES.items():
        apps.get_model("workflows", "Mode").objects.get_or_create(name=name, defaults={"prompt": prompt})
    apps.get_model("django_q", "Schedule").objects.get_or_create(
        name=PRUNE,
        defaults={"func": "workflows.engine.retention.prune_daily", "schedule_type": "D", "repeats": -1},
    )


def remove_rows(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("django_q", "Schedule").objects.filter(name=PRUNE).delete()


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Cooldown",
            fields=[
                ("key", models.CharField(max_length=300, primary_key=True, serialize=False)),
                ("until", models.DateTimeField()),
            ],
            options={
                "db_table": "workflow_cooldowns",
            },
        ),
        migrations.CreateModel(
            name="TaskRuns",
            fields=[
                (
                    "message_id",
                    models.BigIntegerField(
                        help_text="Its row in django-q2's queue.", primary_key=True, serialize=False
                    ),
                ),
                ("runs", models.IntegerField()),
            ],
            options={
                "verbose_name_plural": "task runs",
                "db_table": "workflow_task_runs",
            },
        ),
        migrations.CreateModel(
            name="Duty",
            fields=[
                ("name", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("holder", models.UUIDField(null=True)),
                ("lease_until", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "verbose_name_plural": "duties",
                "db_table": "workflow_duties",
            },
        ),
        migrations.CreateModel(
            name="Mode",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=60, unique=True)),
                (
                    "prompt",
                    models.TextField(blank=True, help_text="Instructions at the beginning of every model call."),
                ),
                ("default_model", models.CharField(blank=True, help_text="Empty: DEFAULT_MODEL.", max_length=200)),
                (
                    "tools",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100),
                        blank=True,
                        default=list,
                        help_text="Slugs of the tools that it may use; empty: every tool.",
                        size=None,
                    ),
                ),
                (
                    "model_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200),
                        blank=True,
                        default=list,
                        help_text="The models that a job may name in it, separated by commas; empty: every model.",
                        size=None,
                    ),
                ),
                (
                    "hosts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            max_length=260,
                            validators=[
                                django.core.validators.RegexValidator(
                                    "\\A[a-z0-9.\\[\\]:_-]+:[0-9]{1,5}\\Z", "Write host:port, in lower case."
                                )
                            ],
                        ),
                        blank=True,
                        default=list,
                        help_text="host:port, separated by commas, to which arguments may go that a model chose, such as api.example.com:443. For other hosts, a person is asked.",
                        size=None,
                    ),
                ),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Whose members may start jobs in this mode. None selected: everybody.",
                        to="auth.group",
                    ),
                ),
            ],
            options={
                "db_table": "workflow_modes",
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="Counter",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=40)),
                (
                    "labels",
                    django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None),
                ),
                ("value", models.FloatField()),
            ],
            options={
                "db_table": "workflow_counters",
                "constraints": [models.UniqueConstraint(fields=("name", "labels"), name="one_counter")],
            },
        ),
        migrations.CreateModel(
            name="SeenWebhook",
            fields=[
                ("webhook_id", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("seen_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True)),
            ],
            options={
                "db_table": "workflow_seen_webhooks",
            },
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=aiworkstation.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=20)),
                ("host", models.CharField(max_length=200)),
                ("pid", models.PositiveIntegerField()),
                ("version", models.CharField(blank=True, max_length=50)),
                ("slots", models.PositiveIntegerField(default=0)),
                (
                    "sizes",
                    models.JSONField(
                        db_default=models.Value({}, models.JSONField()),
                        help_text="Number of slots of each kind.",
                    ),
                ),
                (
                    "lacks",
                    models.JSONField(
                        db_default=models.Value({}, models.JSONField()),
                        help_text="The tools that cannot run on its machine, and why.",
                    ),
                ),
                ("busy", models.PositiveIntegerField(default=0)),
                (
                    "draining",
                    models.BooleanField(default=False, help_text="It takes no new step: it stops, or is drained."),
                ),
                (
                    "is_drained",
                    models.BooleanField(db_default=False, help_text="Staff asked it to take no new step."),
                ),
                ("started_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("last_beat", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "db_table": "workflow_workers",
                "ordering": ("-last_beat",),
            },
        ),
        migrations.CreateModel(
            name="Pause",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[("all", "All work"), ("tool", "Steps of a tool"), ("project", "Jobs of a project")],
                        default="all",
                        max_length=10,
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=200)),
                ("since", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("by", models.CharField(max_length=200)),
                ("reason", models.CharField(blank=True, max_length=300)),
            ],
            options={
                "db_table": "workflow_pauses",
                "ordering": ("since", "pk"),
                "constraints": [
                    models.UniqueConstraint(fields=("kind", "name"), name="one_pause"),
                    models.CheckConstraint(
                        condition=models.Q(models.Q(("kind", "all"), _negated=True), ("name", ""), _connector="OR"),
                        name="pause_of_all_has_no_name",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="WorkflowExecution",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=aiworkstation.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("job_type", models.CharField(max_length=60)),
                ("name", models.CharField(max_length=300)),
                ("description", models.TextField(blank=True)),
                ("mode", models.CharField(default="General", max_length=60)),
                ("model_id", models.CharField(blank=True, max_length=200)),
                ("project_id", models.CharField(blank=True, max_length=200)),
                (
                    "tags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100), blank=True, default=list, size=None
                    ),
                ),
                ("payload", models.JSONField(default=dict)),
                (
                    "queue",
                    models.CharField(
                        choices=[("high", "High"), ("normal", "Normal"), ("low", "Low")],
                        default="normal",
                        max_length=10,
                    ),
                ),
                ("max_parallel", models.SmallIntegerField(default=5)),
                (
                    "tolerates_failures",
                    models.BooleanField(
                        default=False, help_text="A failed step leaves the job completed_with_errors, not failed."
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("waiting", "Waiting"),
                            ("completed", "Completed"),
                            ("completed_with_errors", "Completed With Errors"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="queued",
                        max_length=30,
                    ),
                ),
                ("error", models.JSONField(blank=True, null=True)),
                ("steps_total", models.IntegerField(default=0)),
                ("steps_running", models.IntegerField(default=0)),
                ("steps_completed", models.IntegerField(default=0)),
                ("steps_failed", models.IntegerField(default=0)),
                (
                    "steps_finished",
                    models.IntegerField(default=0, help_text="Completed, failed, skipped or cancelled."),
                ),
                (
                    "message_id",
                    models.BigIntegerField(
                        blank=True,
                        help_text="The job's row in django-q2's queue, for stock clusters: at most one.",
                        null=True,
                    ),
                ),
                (
                    "wake_at",
                    models.DateTimeField(
                        blank=True, help_text="When the next step is due; equals the `lock` of the message.", null=True
                    ),
                ),
                (
                    "next_slot",
                    models.CharField(
                        blank=True,
                        help_text="The kind of slot that the next ready step needs.",
                        max_length=10,
                        null=True,
                    ),
                ),
                (
                    "next_tool",
                    models.CharField(
                        blank=True,
                        help_text="Tool of the next ready step: only workers that know it may claim it.",
                        max_length=100,
                        null=True,
                    ),
                ),
                (
                    "rerun_of",
                    models.UUIDField(
                        blank=True, help_text="The job that this one runs again. It may be deleted.", null=True
                    ),
                ),
                (
                    "reused",
                    models.JSONField(
                        blank=True, help_text="What a rerun has taken over: steps, tokens and costs.", null=True
                    ),
                ),
                (
                    "workflow_id",
                    models.UUIDField(
                        blank=True, help_text="The saved workflow that it runs. It may be deleted.", null=True
                    ),
                ),
                (
                    "workflow_name",
                    models.CharField(
                        blank=True, db_default="", help_text="Its name when the job began.", max_length=64
                    ),
                ),
                ("workflow_version", models.IntegerField(blank=True, null=True)),
                (
                    "traceparent",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="The span that started the job, if traces are on.",
                        max_length=55,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "changed_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="Last change of the job or of one of its steps.",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="executions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": "workflow_executions",
                "ordering": ("-created_at", "-id"),
            },
        ),
        migrations.CreateModel(
            name="WorkflowStep",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=aiworkstation.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("index", models.IntegerField()),
                ("name", models.CharField(max_length=300)),
                ("description", models.TextField(blank=True)),
                ("tool", models.CharField(blank=True, help_text="Empty: a model step.", max_length=100)),
                (
                    "slot",
                    models.CharField(default="async", help_text="The kind of slot that its tool needs.", max_length=10),
                ),
                (
                    "arguments",
                    models.JSONField(
                        blank=True, help_text="Given by the job, or chosen by a model and then kept.", null=True
                    ),
                ),
                (
                    "depends_on",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(),
                        default=list,
                        help_text="Indexes of the steps that it depends on.",
                        size=None,
                    ),
                ),
                (
                    "dependents",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(),
                        default=list,
                        help_text="Indexes of the steps that depend on it.",
                        size=None,
                    ),
                ),
                ("missing_dependencies", models.IntegerField(default=0)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("ready", "Ready"),
                            ("running", "Running"),
                            ("waiting", "Waiting"),
                            ("completed", "Completed"),
                            ("failed", "Failed"),
                            ("skipped", "Skipped"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="pending",
                        max_length=20,
                    ),
                ),
                (
                    "ready_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When a ready or waiting step may be claimed; null: it waits for an outside answer.",
                        null=True,
                    ),
                ),
                (
                    "attempt",
                    models.IntegerField(
                        default=0, help_text="Number of the last attempt; it also counts earlier rounds."
                    ),
                ),
                ("attempts_before", models.IntegerField(default=0, help_text="Attempts of earlier rounds.")),
                ("round", models.IntegerField(default=1, help_text="1, plus one for each retry by a user.")),
                (
                    "repeats_attempt",
                    models.BooleanField(
                        default=False,
                        help_text="The last run did not count (a wait, a crash, a stop): the next run has the same number.",
                    ),
                ),
                ("max_attempts", models.SmallIntegerField(default=3)),
                ("timeout_seconds", models.IntegerField(blank=True, null=True)),
                ("crashes", models.SmallIntegerField(default=0)),
                (
                    "waiting_since",
                    models.DateTimeField(blank=True, help_text="When the current series of waits began.", null=True),
                ),
                (
                    "token",
                    models.UUIDField(
                        blank=True,
                        help_text="Claim token: only the worker that has it may record the outcome.",
                        null=True,
                    ),
                ),
                ("lane", models.SmallIntegerField(blank=True, null=True)),
                ("worker", models.UUIDField(blank=True, null=True)),
                ("lease_until", models.DateTimeField(blank=True, null=True)),
                (
                    "silence_seconds",
                    models.FloatField(
                        blank=True, help_text="How long an outside worker may send no sign of life.", null=True
                    ),
                ),
                (
                    "answer_by",
                    models.DateTimeField(
                        blank=True,
                        help_text="Deadline for the outside answer; null: the step waits for none.",
                        null=True,
                    ),
                ),
                (
                    "approval",
                    models.JSONField(
                        blank=True,
                        help_text="What a person is asked before the step goes on, and what was answered.",
                        null=True,
                    ),
                ),
                ("progress", models.SmallIntegerField(default=0)),
                ("message", models.CharField(blank=True, max_length=500)),
                (
                    "reported_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When the outside worker signed the report that set progress and message.",
                        null=True,
                    ),
                ),
                ("output", models.JSONField(blank=True, null=True)),
                ("error", models.JSONField(blank=True, null=True)),
                ("model", models.CharField(blank=True, help_text="The model that answered.", max_length=200)),
                ("usage", models.JSONField(blank=True, null=True)),
                (
                    "copied_from",
                    models.UUIDField(
                        blank=True, help_text="The step whose output this one has, if a rerun took it over.", null=True
                    ),
                ),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "execution",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="steps",
                        to="workflows.workflowexecution",
                    ),
                ),
            ],
            options={
                "db_table": "workflow_steps",
                "ordering": ("execution_id", "index"),
            },
        ),
        migrations.AddIndex(
            model_name="workflowexecution",
            index=models.Index(fields=["owner", "-created_at", "-id"], name="execution_by_owner"),
        ),
        migrations.AddIndex(
            model_name="workflowexecution",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)), fields=["finished_at"], name="execution_by_finish"
            ),
        ),
        migrations.AddIndex(
            model_name="workflowexecution",
            index=models.Index(
                condition=models.Q(("status__in", ["queued", "running", "waiting"])),
                fields=["owner", "-created_at"],
                name="execution_unfinished",
            ),
        ),
        migrations.AddIndex(
            model_name="workflowexecution",
            index=models.Index(
                condition=models.Q(("steps_running__gt", 0)), fields=["owner"], name="execution_owner_at_work"
            ),
        ),
        migrations.AddIndex(
            model_name="workflowexecution",
            index=models.Index(
                models.F("next_slot"),
                django.db.models.expressions.CombinedExpression(
                    models.Case(models.When(queue="high", then=0), models.When(queue="normal", then=2), default=4),
                    "+",
                    models.Case(models.When(steps_running__gt=0, then=1), default=0),
                ),
                models.F("wake_at"),
                condition=models.Q(("wake_at__isnull", False)),
                name="execution_due",
            ),
        ),
        migrations.AddIndex(
            model_name="workflowexecution",
            index=models.Index(
                condition=models.Q(("message_id__isnull", False)),
                fields=["next_slot", "owner", "wake_at"],
                name="execution_due_by_owner",
            ),
        ),
        migrations.AddIndex(
            model_name="workflowexecution",
            index=models.Index(
                condition=models.Q(("workflow_id__isnull", False)),
                fields=["workflow_id", "-created_at"],
                name="execution_of_workflow",
            ),
        ),
        migrations.AddConstraint(
            model_name="workflowexecution",
            constraint=models.UniqueConstraint(
                condition=models.Q(("message_id__isnull", False)), fields=("message_id",), name="one_message"
            ),
        ),
        migrations.AddConstraint(
            model_name="workflowexecution",
            constraint=models.CheckConstraint(
                condition=models.Q(("steps_running__lte", models.F("max_parallel"))),
                name="execution_within_max_parallel",
            ),
        ),
        migrations.AddIndex(
            model_name="workflowstep",
            index=models.Index(
                condition=models.Q(("status__in", ["ready", "waiting"])),
                fields=["execution", "ready_at", "index"],
                name="step_claimable",
            ),
        ),
        migrations.AddIndex(
            model_name="workflowstep",
            index=models.Index(
                condition=models.Q(("answer_by__isnull", False)), fields=["answer_by"], name="step_answers"
            ),
        ),
        migrations.AddIndex(
            model_name="workflowstep",
            index=models.Index(condition=models.Q(("status", "failed")), fields=["finished_at"], name="step_failed"),
        ),
        migrations.AddConstraint(
            model_name="workflowstep",
            constraint=models.UniqueConstraint(fields=("execution", "index"), name="step_index"),
        ),
        migrations.AddConstraint(
            model_name="workflowstep",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status", "running")), fields=("execution", "lane"), name="one_step_a_lane"
            ),
        ),
        migrations.AddConstraint(
            model_name="workflowstep",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status", "running"), _negated=True),
                    models.Q(
                        ("lane__isnull", False),
                        ("lease_until__isnull", False),
                        ("token__isnull", False),
                        ("worker__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="step_running_is_leased",
            ),
        ),
        migrations.AddConstraint(
            model_name="workflowstep",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("answer_by__isnull", True),
                    models.Q(("ready_at__isnull", True), ("status", "waiting")),
                    _connector="OR",
                ),
                name="step_waits_for_answer",
            ),
        ),
        migrations.CreateModel(
            name="SecretGrant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "secret",
                    models.CharField(
                        help_text="The name as in {{secret.NAME}}. The value is SECRET_NAME in the environment of the workers.",
                        max_length=100,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[A-Za-z0-9_]+\\Z", "Write the name as in {{secret.NAME}}, without SECRET_."
                            )
                        ],
                    ),
                ),
                (
                    "hosts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            max_length=260,
                            validators=[
                                django.core.validators.RegexValidator(
                                    "\\A[a-z0-9.\\[\\]:_-]+:[0-9]{1,5}\\Z", "Write host:port, in lower case."
                                )
                            ],
                        ),
                        help_text="host:port, separated by commas, such as api.example.com:443. Reached over https only, except hosts in HTTP_ALLOWED_PRIVATE_HOSTS.",
                        size=None,
                    ),
                ),
                (
                    "places",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            max_length=300,
                            validators=[
                                django.core.validators.RegexValidator(
                                    "\\A(header:[a-z0-9-]+|query:.+|body|body:.+)\\Z",
                                    "Write header:NAME (in lower case), query:NAME, body or body:PATH.",
                                )
                            ],
                        ),
                        help_text="header:NAME (in lower case), query:NAME, body (text) or body:PATH (keys of the JSON with dots), separated by commas, such as header:authorization.",
                        size=None,
                    ),
                ),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The owner of the job must be in one of them. None selected: everybody.",
                        to="auth.group",
                    ),
                ),
                (
                    "modes",
                    models.ManyToManyField(blank=True, help_text="None selected: every mode.", to="workflows.mode"),
                ),
            ],
            options={
                "db_table": "workflow_secret_grants",
                "ordering": ("secret", "pk"),
            },
        ),
        migrations.CreateModel(
            name="OutsideWorker",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(
                        help_text="What steps write as `worker`.",
                        max_length=60,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[a-z0-9-]+\\Z", "Write lower-case letters, digits and hyphens."
                            )
                        ],
                    ),
                ),
                (
                    "addresses",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            max_length=500,
                            validators=[
                                django.core.validators.RegexValidator(
                                    "\\Ahttps?://[^\\s,]+\\Z", "Write addresses that begin with http:// or https://."
                                )
                            ],
                        ),
                        help_text="Where it accepts steps, separated by commas. A step that names no address is posted to the first.",
                        size=None,
                    ),
                ),
                (
                    "secret",
                    models.CharField(
                        help_text="What signs both ways: whsec_ and random bytes in base64.", max_length=200
                    ),
                ),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The owner of the job must be in one of them. None selected: everybody.",
                        to="auth.group",
                    ),
                ),
            ],
            options={
                "db_table": "workflow_outside_workers",
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="Rollup",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "seconds", "at", "key", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("seconds", models.IntegerField(help_text="The length of the period: a minute, an hour or a day.")),
                ("at", models.DateTimeField(help_text="Its beginning.")),
                ("key", models.UUIDField(help_text="A hash of the labels, the measure and the bucket.")),
                ("is_kept", models.BooleanField(help_text="The rows of its jobs are deleted, or show a later run.")),
                ("owner_id", models.IntegerField()),
                ("job_type", models.CharField(max_length=60)),
                ("mode", models.CharField(max_length=60)),
                ("project_id", models.CharField(max_length=200)),
                (
                    "model_names",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200),
                        help_text="The job's model, and those that answered.",
                        size=None,
                    ),
                ),
                ("model", models.CharField(help_text="Of `usage`: the model that answered.", max_length=200)),
                (
                    "measure",
                    models.CharField(
                        choices=[
                            ("started", "Started"),
                            ("completed", "Completed"),
                            ("completed_with_errors", "Completed With Errors"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                            ("usage", "Usage"),
                        ],
                        max_length=30,
                    ),
                ),
                (
                    "bucket",
                    models.SmallIntegerField(
                        help_text="Of a histogram of durations (engine.rollups); -1: it has no duration."
                    ),
                ),
                ("number", models.BigIntegerField()),
                ("input_tokens", models.DecimalField(decimal_places=0, max_digits=40)),
                ("output_tokens", models.DecimalField(decimal_places=0, max_digits=40)),
                (
                    "cost",
                    models.DecimalField(decimal_places=30, help_text="US dollars, of what has a price.", max_digits=60),
                ),
                ("unpriced", models.BigIntegerField(help_text="Of `number`: those whose cost is not known.")),
            ],
            options={
                "db_table": "workflow_rollups",
                "indexes": [
                    models.Index(fields=["owner_id", "seconds", "at"], name="rollup_by_owner"),
                    models.Index(
                        condition=models.Q(("measure", "usage")), fields=["seconds", "at"], name="rollup_of_usage"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RollupMark",
            fields=[
                ("id", models.SmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ("counted_to", models.DateTimeField()),
                (
                    "next_to",
                    models.DateTimeField(
                        help_text="Where `counted_to` goes when `next_xid` is the oldest open.", null=True
                    ),
                ),
                ("next_xid", models.BigIntegerField(null=True)),
            ],
            options={
                "db_table": "workflow_rollup_mark",
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="one_rollup_mark")],
            },
        ),
        migrations.CreateModel(
            name="LargeJson",
            fields=[
                (
                    "part",
                    models.UUIDField(
                        help_text="The step whose output it is, or the job whose payload it is.",
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("size", models.PositiveBigIntegerField()),
                (
                    "execution",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="workflows.workflowexecution",
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
                "db_table": "workflow_large_json",
            },
        ),
        # A stock cluster, and our task processes, take messages in this order.
        migrations.RunSQL(
            f"CREATE INDEX workflow_queue_order ON {QUEUE} (key, lock)", "DROP INDEX workflow_queue_order"
        ),
        *(storage(table, fillfactor=60, **VACUUM) for table in HOT_TABLES),
        storage(QUEUE, **VACUUM),
        functions(Path(__file__).with_name("0001_functions.sql")),
        migrations.RunPython(add_rows, remove_rows),
    ]
