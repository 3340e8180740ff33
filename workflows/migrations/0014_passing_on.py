"""A lane passes to the next step in one statement; one index serves the queue; fewer checks on what every step changes.

The check constraints that go only repeated a field's choices and range: an UPDATE pays for each anew.
"""

from django.db import migrations, models
from django.db.models import Case, F, Q, When

from workflows.sql import functions


class Migration(migrations.Migration):
    dependencies = [("workflows", "0013_slots_by_kind")]
    operations = [
        functions("steps_2.sql", "turn_2.sql"),
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
