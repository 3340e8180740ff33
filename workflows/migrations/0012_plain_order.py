"""An index of the queue's plain tasks alone: however many jobs wait, a worker finds the next task at once."""

from django.db import migrations

# As workflows.queue.messages marks the messages of executions.
MARK = "lCiMBGZ1bmOUjCN3b3JrZmxvd3MucXVldWUudGFza3MucnVuX2V4ZWN1dGlv"


class Migration(migrations.Migration):
    dependencies = [("workflows", "0011_fewer_checks")]
    operations = [
        migrations.RunSQL(
            f"CREATE INDEX workflow_plain_order ON django_q_ormq (key, lock) WHERE substr(payload, 17, 60) <> '{MARK}'",
            "DROP INDEX workflow_plain_order",
        )
    ]
