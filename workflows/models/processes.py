"""What worker processes share: who is alive, who has a duty, pauses and cooldowns, and what is counted."""

from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.db.models import Q, Value
from django.db.models.functions import Now

from aiworkstation.ids import uuid7


class Worker(models.Model):
    """A living process that runs steps."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=20)
    host = models.CharField(max_length=200)
    pid = models.PositiveIntegerField()
    version = models.CharField(max_length=50, blank=True)
    slots = models.PositiveIntegerField(default=0)
    sizes = models.JSONField(db_default=Value({}, models.JSONField()), help_text="Number of slots of each kind.")
    lacks = models.JSONField(
        db_default=Value({}, models.JSONField()), help_text="The tools that cannot run on its machine, and why."
    )
    busy = models.PositiveIntegerField(default=0)
    draining = models.BooleanField(default=False, help_text="It takes no new step: it stops, or is drained.")
    is_drained = models.BooleanField(db_default=False, help_text="Staff asked it to take no new step.")
    started_at = models.DateTimeField(db_default=Now())
    last_beat = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "workflow_workers"
        ordering = ("-last_beat",)

    def __str__(self) -> str:
        return f"{self.kind} {self.host}:{self.pid}"


class TaskRuns(models.Model):
    """How often a plain task began and did not end, because its process died each time.

    A row exists while the task runs, and after a crash.
    """

    message_id = models.BigIntegerField(primary_key=True, help_text="Its row in django-q2's queue.")
    runs = models.IntegerField()

    class Meta:
        db_table = "workflow_task_runs"
        verbose_name_plural = "task runs"

    def __str__(self) -> str:
        return f"message {self.message_id}: {self.runs}"


# Zero rows: another process has the duty.
_TAKE_DUTY = """
INSERT INTO workflow_duties (name, holder, lease_until)
VALUES (%(name)s, %(holder)s, clock_timestamp() + %(seconds)s * interval '1 second')
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
WHERE workflow_duties.holder = excluded.holder OR workflow_duties.lease_until < clock_timestamp()
"""


class Duty(models.Model):
    """Work that one process at a time does for all machines. The row is its lease."""

    name = models.CharField(primary_key=True, max_length=40)
    holder = models.UUIDField(null=True)
    lease_until = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "workflow_duties"
        verbose_name_plural = "duties"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def take(cls, name: str, holder: UUID, seconds: float) -> bool:
        """Takes or keeps a duty. Returns False if another process has it."""
        with connection.cursor() as cursor:
            cursor.execute(_TAKE_DUTY, {"name": name, "holder": holder, "seconds": seconds})
            return bool(cursor.rowcount > 0)

    @classmethod
    def leave(cls, name: str, holder: UUID) -> None:
        """Lets another process take over at once, not when the lease ends."""
        cls.objects.filter(name=name, holder=holder).update(lease_until=Now())


class Pause(models.Model):
    """While this row exists, no step of its kind starts on any machine. Running ones continue to their end.

    A pause of all work holds plain tasks back too.
    """

    class Kind(models.TextChoices):
        ALL = "all", "All work"
        TOOL = "tool", "Steps of a tool"  # `name` is its slug, empty for model steps
        PROJECT = "project", "Jobs of a project"

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.ALL)
    name = models.CharField(max_length=200, blank=True)
    since = models.DateTimeField(db_default=Now())
    by = models.CharField(max_length=200)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        db_table = "workflow_pauses"
        ordering = ("since", "pk")
        constraints = (
            models.UniqueConstraint(fields=["kind", "name"], name="one_pause"),
            models.CheckConstraint(condition=~Q(kind="all") | Q(name=""), name="pause_of_all_has_no_name"),
        )

    def __str__(self) -> str:
        return f"paused by {self.by}" + (f": {self.reason}" if self.reason else "")

    @property
    def what(self) -> str:
        """The beginning of a sentence."""
        if self.kind == self.Kind.ALL:
            return "All work is"
        if self.kind == self.Kind.PROJECT:
            return f"The project {self.name} is"
        return f"The tool {self.name} is" if self.name else "Model steps are"

    @property
    def how_to_end(self) -> str:
        end = "with `manage.py resume`" if self.kind == self.Kind.ALL else "it on the page Workers"
        return f"Resume {end}"


class Cooldown(models.Model):
    """No worker calls a provider or host before `until`, because it answered one of them that it is busy (429, 503)."""

    key = models.CharField(primary_key=True, max_length=300)
    until = models.DateTimeField()

    class Meta:
        db_table = "workflow_cooldowns"

    def __str__(self) -> str:
        return f"{self.key} until {self.until:%H:%M:%S}"


class Counter(models.Model):
    """A number that only grows. `monitoring.counters` writes it."""

    name = models.CharField(max_length=40)
    labels = ArrayField(models.TextField())
    value = models.FloatField()

    class Meta:
        db_table = "workflow_counters"
        constraints = (models.UniqueConstraint(fields=["name", "labels"], name="one_counter"),)

    def __str__(self) -> str:
        return f"{self.name} {self.labels}: {self.value}"
