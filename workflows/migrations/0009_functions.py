"""The engine's functions in the database: see sql/README.md."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent.parent / "sql"
FILES = ("start_1.sql", "steps_1.sql", "turn_1.sql")
FUNCTIONS = ("turn", "newcomers", "pick", "settle", "claim", "record", "start")


class Migration(migrations.Migration):
    dependencies = [("workflows", "0008_due_executions")]
    operations = [
        migrations.RunSQL(
            "\n".join((SQL / name).read_text(encoding="utf-8") for name in FILES),
            "".join(f"DROP FUNCTION workflow_{name}_1;" for name in FUNCTIONS),
        )
    ]
