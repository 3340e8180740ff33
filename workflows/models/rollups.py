"""What happened to jobs, in minutes, hours and days."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q


class Rollup(models.Model):
    """How often something happened to jobs in one minute, hour or day, for one set of labels.

    `engine.rollups` writes it. `owner_id` 0 stands for everybody: those rows have no mode, no project and no
    `model_names`, so that the figures of the whole site are few rows.
    """

    class Measure(models.TextChoices):
        STARTED = "started"  # `bucket`: how long the job waited
        COMPLETED = "completed"  # `bucket` of this and the following: how long the job ran
        COMPLETED_WITH_ERRORS = "completed_with_errors"
        FAILED = "failed"
        CANCELLED = "cancelled"
        USAGE = "usage"  # what one model cost the jobs that ended

    pk = models.CompositePrimaryKey("seconds", "at", "key")
    seconds = models.IntegerField(help_text="The length of the period: a minute, an hour or a day.")
    at = models.DateTimeField(help_text="Its beginning.")
    key = models.UUIDField(help_text="A hash of the labels, the measure and the bucket.")
    is_kept = models.BooleanField(help_text="The rows of its jobs are deleted, or show a later run.")
    owner_id = models.IntegerField()
    job_type = models.CharField(max_length=60)
    mode = models.CharField(max_length=60)
    project_id = models.CharField(max_length=200)
    model_names = ArrayField(models.CharField(max_length=200), help_text="The job's model, and those that answered.")
    model = models.CharField(max_length=200, help_text="Of `usage`: the model that answered.")
    measure = models.CharField(max_length=30, choices=Measure.choices)
    bucket = models.SmallIntegerField(help_text="Of a histogram of durations (engine.rollups); -1: it has no duration.")
    number = models.BigIntegerField()
    input_tokens = models.DecimalField(max_digits=40, decimal_places=0)
    output_tokens = models.DecimalField(max_digits=40, decimal_places=0)
    cost = models.DecimalField(max_digits=60, decimal_places=30, help_text="US dollars, of what has a price.")
    unpriced = models.BigIntegerField(help_text="Of `number`: those whose cost is not known.")

    class Meta:
        db_table = "workflow_rollups"
        indexes = (
            models.Index(fields=["owner_id", "seconds", "at"], name="rollup_by_owner"),
            models.Index(fields=["seconds", "at"], name="rollup_of_usage", condition=Q(measure="usage")),
        )

    def __str__(self) -> str:
        return f"{self.measure} {self.at:%Y-%m-%d %H:%M}: {self.number}"


class RollupMark(models.Model):
    """How far the roll-ups are: they count all jobs that ended up to `counted_to`."""

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    counted_to = models.DateTimeField()
    next_to = models.DateTimeField(null=True, help_text="Where `counted_to` goes when `next_xid` is the oldest open.")
    next_xid = models.BigIntegerField(null=True)

    class Meta:
        db_table = "workflow_rollup_mark"
        constraints = (models.CheckConstraint(condition=Q(id=1), name="one_rollup_mark"),)

    def __str__(self) -> str:
        return f"counted to {self.counted_to}"
