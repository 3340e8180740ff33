"""The keys of requests that started a job, and saved workflows with their schedules."""

from datetime import datetime
from typing import Self, TypeVar

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aiworkstation.access.models import OwnedQuerySet, sees_only
from aiworkstation.ids import uuid7
from jobs.schedule_times import Timing
from workflows.models import WorkflowExecution


class IdempotencyKey(models.Model):
    """A client's key for a request that started a job. For 24 hours, the same key returns the same job."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    body_sha256 = models.CharField(max_length=64)
    execution = models.ForeignKey(WorkflowExecution, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "job_idempotency_keys"
        constraints = (models.UniqueConstraint(fields=["owner", "key"], name="idempotency_key"),)

    def __str__(self) -> str:
        return self.key


class JobInput(models.Model):
    """What a job can be found by: hashes of the values in its payload (`job_input`). It never changes."""

    execution = models.OneToOneField(
        WorkflowExecution, on_delete=models.CASCADE, primary_key=True, related_name="input"
    )
    terms = ArrayField(models.BigIntegerField())

    class Meta:
        db_table = "job_inputs"
        indexes = (GinIndex(fields=["terms"], name="job_input_terms"),)

    def __str__(self) -> str:
        return str(self.execution_id)


_Row = TypeVar("_Row", bound=models.Model, covariant=True)


class SharedQuerySet(OwnedQuerySet[_Row]):
    """Rows that their owner may share (`is_shared`)."""

    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Every signed-in user may also see and use shared ones."""
        owner = sees_only(user)
        return self if owner is None else self.filter(Q(owner_id=owner) | Q(is_shared=True)) if owner else self.none()

    def of_or_for(self, user: User) -> Self:
        """The user's own rows, and those that others share. Staff get no more."""
        return self.filter(Q(owner=user) | Q(is_shared=True))


class Shareable(models.Model):
    owner_id: int

    class Meta:
        abstract = True

    def may_be_changed_by(self, user: AbstractBaseUser | AnonymousUser) -> bool:
        """Only the owner and staff may, also if it is shared."""
        return sees_only(user) in (None, self.owner_id)


class SavedView(Shareable):
    """The filters of the job list, kept under a name. `filters` are those of `pages.job_filter`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(  # `saved_view_name` serves it
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_views", db_index=False
    )
    name = models.CharField(max_length=80)
    filters = models.JSONField()
    is_shared = models.BooleanField(default=False, help_text="Everybody may use it.")
    created_at = models.DateTimeField(db_default=Now())

    objects = SharedQuerySet.as_manager()

    class Meta:
        db_table = "saved_views"
        ordering = ("name", "pk")
        constraints = (models.UniqueConstraint(fields=["owner", "name"], name="saved_view_name"),)
        indexes = (models.Index(fields=["name"], name="saved_view_shared", condition=Q(is_shared=True)),)

    def __str__(self) -> str:
        return self.name


class SavedWorkflowQuerySet(SharedQuerySet["SavedWorkflow"]):
    pass


class SavedWorkflow(Shareable):
    """The payload of a workflow, kept under a name to be run again. `version` and `payload` are the newest."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(  # `saved_workflow_name` serves it
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_workflows", db_index=False
    )
    name = models.CharField(max_length=64)
    version = models.IntegerField(default=1)
    payload = models.JSONField()
    is_shared = models.BooleanField(default=False, help_text="Everybody may read and run it.")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    objects = SavedWorkflowQuerySet.as_manager()

    class Meta:
        db_table = "saved_workflows"
        ordering = ("-created_at", "-id")
        constraints = (models.UniqueConstraint(fields=["owner", "name"], name="saved_workflow_name"),)
        indexes = (models.Index(fields=["name"], name="saved_workflow_shared", condition=Q(is_shared=True)),)

    def __str__(self) -> str:
        return self.name


class WorkflowVersion(models.Model):
    """A version of a saved workflow. It never changes."""

    workflow = models.ForeignKey(  # `workflow_version_number` serves it
        SavedWorkflow, on_delete=models.CASCADE, related_name="versions", db_index=False
    )
    version = models.IntegerField()
    payload = models.JSONField()
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "saved_workflow_versions"
        ordering = ("-version",)
        constraints = (models.UniqueConstraint(fields=["workflow", "version"], name="workflow_version_number"),)

    def __str__(self) -> str:
        return f"version {self.version}"


class Overlap(models.TextChoices):
    """What happens at a due time while an earlier run of the schedule is not finished."""

    SKIP = "skip"  # no run
    QUEUE = "queue"  # it starts when the earlier ones are finished
    ALLOW = "allow"  # it starts


class Missed(models.TextChoices):
    """What happens to due times at which no worker was alive."""

    SKIP = "skip"
    ONCE = "once"  # one run for all of them


class WorkflowSchedule(models.Model):
    """When a saved workflow runs by itself. Its jobs belong to the schedule's owner."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="workflow_schedules")
    workflow = models.ForeignKey(SavedWorkflow, on_delete=models.CASCADE, related_name="schedules")
    cron = models.CharField(max_length=100, blank=True, help_text="Empty if it has an interval.")
    every_seconds = models.IntegerField(null=True, blank=True)
    timezone = models.CharField(max_length=64, default="UTC")
    overlap = models.CharField(max_length=10, choices=Overlap.choices, default=Overlap.SKIP)
    missed = models.CharField(max_length=10, choices=Missed.choices, default=Missed.SKIP)
    is_paused = models.BooleanField(default=False)
    next_run = models.DateTimeField(null=True, blank=True, help_text="Null while it is paused.")
    created_at = models.DateTimeField(db_default=Now())

    objects = OwnedQuerySet.as_manager()

    class Meta:
        db_table = "workflow_schedules"
        ordering = ("-created_at", "-id")
        constraints = (
            models.CheckConstraint(
                condition=Q(cron="", every_seconds__gt=0) | (~Q(cron="") & Q(every_seconds=None)),
                name="schedule_cron_or_interval",
            ),
            models.CheckConstraint(
                condition=Q(is_paused=True, next_run=None) | Q(is_paused=False, next_run__isnull=False),
                name="schedule_paused_or_due",
            ),
        )

    def __str__(self) -> str:
        return f"{self.workflow.name}: {self.cron or f'every {self.every_seconds} s'}"

    @property
    def timing(self) -> Timing:
        return Timing(self.cron, self.every_seconds, self.timezone)

    @property
    def next_runs(self) -> list[datetime]:
        """The next five due times, computed from the row alone. Empty while it is paused."""
        return [] if self.next_run is None else self.timing.from_time(self.next_run, 5)


class RunOutcome(models.TextChoices):
    STARTED = "started"
    QUEUED = "queued"  # it waits for an earlier run
    SKIPPED = "skipped"  # an earlier run was not finished
    MISSED = "missed"  # no worker was alive
    REFUSED = "refused"  # the job could not be started


class ScheduleRun(models.Model):
    """What a schedule did at one of its times."""

    schedule = models.ForeignKey(WorkflowSchedule, on_delete=models.CASCADE, related_name="runs")
    due_at = models.DateTimeField(null=True, blank=True, help_text="Null if a user started it.")
    at = models.DateTimeField(db_default=Now())
    outcome = models.CharField(max_length=10, choices=RunOutcome.choices)
    execution = models.ForeignKey(WorkflowExecution, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    error = models.TextField(blank=True, help_text="Why the job could not be started.")

    class Meta:
        db_table = "workflow_schedule_runs"
        ordering = ("-id",)
        # The last safeguard against two jobs for one time.
        constraints = (models.UniqueConstraint(fields=["schedule", "due_at"], name="one_run_per_due_time"),)

    def __str__(self) -> str:
        return f"{self.due_at}: {self.outcome}"

    @property
    def status(self) -> str:
        """The status of its job, if there is one."""
        return self.execution.status if self.execution else self.outcome


class FailureMute(models.Model):
    """A group of failures (`jobs.failure_groups`) that a user does not want to see until it changes."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=32, help_text="The key of the group.")
    note = models.CharField(max_length=300, blank=True)
    per_day = models.IntegerField(help_text="How often it failed in the day before it was muted.")
    muted_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "job_failure_mutes"
        constraints = (models.UniqueConstraint(fields=["user", "key"], name="one_failure_mute"),)

    def __str__(self) -> str:
        return self.note or self.key
