from pathlib import Path

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.functions.datetime
from django.db import migrations, models

FOLDER = Path(__file__).parent


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="AuditEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ("actor", models.CharField(max_length=400)),
                ("channel", models.CharField(db_default="", editable=False, max_length=20)),
                ("address", models.CharField(db_default="", editable=False, max_length=100)),
                ("action", models.CharField(max_length=60)),
                ("object", models.CharField(max_length=120)),
                ("execution_id", models.UUIDField(blank=True, null=True)),
                ("changes", models.JSONField(default=dict)),
            ],
            options={
                "db_table": "audit_events",
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["execution_id", "id"], name="audit_by_execution"),
                    models.Index(
                        condition=models.Q(("action__startswith", "step."), _negated=True),
                        fields=["action", "id"],
                        name="audit_by_action",
                    ),
                    models.Index(
                        condition=models.Q(("action__startswith", "step."), _negated=True),
                        fields=["actor", "id"],
                        name="audit_by_actor",
                    ),
                    models.Index(
                        condition=models.Q(("action__startswith", "step."), _negated=True),
                        fields=["object", "id"],
                        name="audit_by_object",
                    ),
                    django.contrib.postgres.indexes.BrinIndex(fields=["at"], name="audit_by_time"),
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditSeal",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ("first_id", models.BigIntegerField()),
                ("last_id", models.BigIntegerField()),
                ("event_ids", django.contrib.postgres.fields.ArrayField(models.BigIntegerField())),
                ("event_digests", django.contrib.postgres.fields.ArrayField(models.BinaryField())),
                ("digest", models.BinaryField()),
            ],
            options={
                "db_table": "audit_seals",
                "ordering": ("-number",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("last_id__gte", models.F("first_id"))), name="seal_goes_on"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditCursor",
            fields=[
                ("name", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("last_id", models.BigIntegerField()),
            ],
            options={"db_table": "audit_cursors"},
        ),
        migrations.RunSQL(
            (FOLDER / "0001_audit.sql").read_text(encoding="utf-8"),
            (FOLDER / "0001_audit_reverse.sql").read_text(encoding="utf-8"),
        ),
        # The tables belong to another role by now: see audit/protection.py.
        migrations.RunSQL(migrations.RunSQL.noop, "SET LOCAL ROLE NONE"),
    ]
