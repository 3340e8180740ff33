"""An index that serves the queue in order, and room for updates in the tables that change with every step."""

from django.db import migrations

HOT = ("workflow_executions", "workflow_steps")
QUEUE = "django_q_ormq"
VACUUM = (
    "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, "
    "autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000"
)
VACUUM_NAMES = (
    "autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, "
    "autovacuum_analyze_scale_factor, autovacuum_analyze_threshold"
)


class Migration(migrations.Migration):
    dependencies = [
        ("workflows", "0001_initial"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]
    operations = [
        migrations.RunSQL(
            f"CREATE INDEX workflow_queue_order ON {QUEUE} (key, lock)", "DROP INDEX workflow_queue_order"
        ),
        *(
            migrations.RunSQL(
                f"ALTER TABLE {table} SET (fillfactor = 60, {VACUUM})",
                f"ALTER TABLE {table} RESET (fillfactor, {VACUUM_NAMES})",
            )
            for table in HOT
        ),
        migrations.RunSQL(f"ALTER TABLE {QUEUE} SET ({VACUUM})", f"ALTER TABLE {QUEUE} RESET ({VACUUM_NAMES})"),
    ]
