"""The engine's functions in the database: see sql/README.md."""

from django.db import migrations

from workflows.sql import functions


class Migration(migrations.Migration):
    dependencies = [("workflows", "0008_due_executions")]
    operations = [functions("start_1.sql", "steps_1.sql", "turn_1.sql")]
