"""The queue's index holds what has a time to wake: the same rows, but no other index is as good for a look at them."""

from django.db import migrations, models
from django.db.models import Case, F, Q, When


class Migration(migrations.Migration):
    dependencies = [("workflows", "0014_passing_on")]
    operations = [
        migrations.RemoveIndex(model_name="workflowexecution", name="execution_due"),
        migrations.AddIndex(
            model_name="workflowexecution",
            index=models.Index(
                F("next_slot"),
                Case(When(queue="high", then=0), When(queue="normal", then=2), default=4)
                + Case(When(steps_running__gt=0, then=1), default=0),
                F("wake_at"),
                name="execution_due",
                condition=Q(wake_at__isnull=False),
            ),
        ),
    ]
