"""A lane passes to the next step in one statement; one index serves the queue; fewer checks on what every step changes.

The check constraints that go only repeated a field's choices and range: an UPDATE pays for each anew.
"""

from pathlib import Path

from django.db import migrations, models
from django.db.models import Case, F, Q, When

SQL = Path(__file__).parent.parent / "sql"
FILES = ("steps_2.sql", "turn_2.sql")
FUNCTIONS = ("turn", "newcomers", "pick", "settle", "claim", "record")


class Migration(migrations.Migration):
    dependencies = [("workflows", "0013_slots_by_kind")]
    operations = [
        migrations.RunSQL(
            "\n".join((SQL / name).read_text(encoding="utf-8") for name in FILES),
            "".join(f"DROP FUNCTION workflow_{name}_2;" for name in FUNCTIONS),
        ),
        migrations.RemoveIndex(model_name="workflowexecution", name="execution_due_first"),
        migrations.RemoveIndex(model_name="workflowexecution", name="execution_due_further"),
        migrations.AddIndex(
            model_name="workflowexecution",
            index=models.Index(
                F("next_slot"),
                Case(When(queue="high", then=0), When(queue="normal", then=2), default=4)
                + Case(When(steps_running__gt=0, then=1), default=0),
                F("wake_at"),
                name="execution_due",
                condition=Q(message_id__isnull=False),
            ),
        ),
        migrations.RemoveConstraint(model_name="workflowexecution", name="execution_status"),
        migrations.RemoveConstraint(model_name="workflowexecution", name="execution_max_parallel"),
        migrations.RemoveConstraint(model_name="workflowstep", name="step_status"),
        migrations.RemoveConstraint(model_name="workflowstep", name="step_progress"),
    ]
