"""The engine's functions in the database. The file is a part of this migration: it never changes."""

from pathlib import Path

from django.db import migrations

FUNCTIONS = ("turn", "newcomers", "pick", "settle", "claim", "record", "start")


class Migration(migrations.Migration):
    dependencies = [("workflows", "0008_due_executions")]
    operations = [
        migrations.RunSQL(
            (Path(__file__).parent.parent / "sql" / "engine_1.sql").read_text(encoding="utf-8"),
            "".join(f"DROP FUNCTION workflow_{name}_1;" for name in FUNCTIONS),
        )
    ]
