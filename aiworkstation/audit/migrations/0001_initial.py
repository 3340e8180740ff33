import django.db.models.functions.datetime
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="AuditEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ("actor", models.CharField(max_length=200)),
                ("action", models.CharField(max_length=60)),
                ("object", models.CharField(max_length=120)),
                ("execution_id", models.UUIDField(blank=True, null=True)),
                ("changes", models.JSONField(default=dict)),
            ],
            options={
                "db_table": "audit_events",
                "ordering": ("-id",),
                "indexes": [models.Index(fields=["execution_id", "id"], name="audit_by_execution")],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="auditevent",
            trigger=pgtrigger.compiler.Trigger(
                name="append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="b69ec7ac5750979f4cb86bf4b14dee3881aaa2df",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_append_only_00dfa",
                    table="audit_events",
                    when="BEFORE",
                ),
            ),
        ),
    ]
