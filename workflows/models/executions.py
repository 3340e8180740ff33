"""Executions: the jobs that users start and see."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Case, F, Q, When
from django.db.models.functions import Now

from aiworkstation.access.models import OwnedQuerySet
from aiworkstation.ids import uuid7


class Queue(models.TextChoices):
    """django-q2's queue names, in the order in which they are served."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class ExecutionStatus(models.TextChoices):
    QUEUED = "queued"  # no step has begun
    RUNNING = "running"  # a step is running or ready
    WAITING = "waiting"  # no step can run before a delay ends or an outside answer arrives
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINISHED_EXECUTION = (
    ExecutionStatus.COMPLETED,
    ExecutionStatus.COMPLETED_WITH_ERRORS,
    ExecutionStatus.FAILED,
    ExecutionStatus.CANCELLED,
)
RETRYABLE_EXECUTION = (
    ExecutionStatus.FAILED,
    ExecutionStatus.CANCELLED,
    ExecutionStatus.COMPLETED_WITH_ERRORS,
)


class ExecutionQuerySet(OwnedQuerySet["WorkflowExecution"]):
    def unfinished(self) -> "ExecutionQuerySet":
        return self.exclude(status__in=FINISHED_EXECUTION)

    def finished(self) -> "ExecutionQuerySet":
        return self.filter(status__in=FINISHED_EXECUTION)


# PostgreSQL reads and compiles a table's check constraints again for every UPDATE. Those of this table and of
# `workflow_steps` once took a third of a turn. So integers are plain (a PositiveIntegerField adds a check), and checks
# exist only for rules over several columns.
class WorkflowExecution(models.Model):
    """A background job: what users start and see."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(  # `execution_by_owner` serves it
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="executions", db_index=False
    )
    job_type = models.CharField(max_length=60)
    name = models.CharField(max_length=300)
    description = models.TextField(blank=True)
    mode = models.CharField(max_length=60, default="General")
    model_id = models.CharField(max_length=200, blank=True)
    project_id = models.CharField(max_length=200, blank=True)
    tags = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    payload = models.JSONField(default=dict)
    queue = models.CharField(max_length=10, choices=Queue.choices, default=Queue.NORMAL)
    max_parallel = models.SmallIntegerField(default=5)
    tolerates_failures = models.BooleanField(
        default=False, help_text="A failed step leaves the job completed_with_errors, not failed."
    )
    status = models.CharField(max_length=30, choices=ExecutionStatus.choices, default=ExecutionStatus.QUEUED)
    error = models.JSONField(null=True, blank=True)

    steps_total = models.IntegerField(default=0)
    steps_running = models.IntegerField(default=0)
    steps_completed = models.IntegerField(default=0)
    steps_failed = models.IntegerField(default=0)
    steps_finished = models.IntegerField(default=0, help_text="Completed, failed, skipped or cancelled.")

    message_id = models.BigIntegerField(
        null=True, blank=True, help_text="The job's row in django-q2's queue, for stock clusters: at most one."
    )
    wake_at = models.DateTimeField(
        null=True, blank=True, help_text="When the next step is due; equals the `lock` of the message."
    )
    next_slot = models.CharField(  # noqa: DJ001 - as next_tool
        max_length=10, null=True, blank=True, help_text="The kind of slot that the next ready step needs."
    )
    next_tool = models.CharField(  # noqa: DJ001 - "" is a model step, null is none
        max_length=100,
        null=True,
        blank=True,
        help_text="Tool of the next ready step: only workers that know it may claim it.",
    )
    rerun_of = models.UUIDField(null=True, blank=True, help_text="The job that this one runs again. It may be deleted.")
    reused = models.JSONField(null=True, blank=True, help_text="What a rerun has taken over: steps, tokens and costs.")
    workflow_id = models.UUIDField(
        null=True, blank=True, help_text="The saved workflow that it runs. It may be deleted."
    )
    workflow_name = models.CharField(max_length=64, blank=True, db_default="", help_text="Its name when the job began.")
    workflow_version = models.IntegerField(null=True, blank=True)
    traceparent = models.CharField(
        max_length=55, blank=True, db_default="", help_text="The span that started the job, if traces are on."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(db_default=Now(), help_text="Last change of the job or of one of its steps.")

    objects = ExecutionQuerySet.as_manager()

    class Meta:
        db_table = "workflow_executions"
        ordering = ("-created_at", "-id")
        indexes = (
            models.Index(fields=["owner", "-created_at", "-id"], name="execution_by_owner"),
            models.Index(fields=["finished_at"], name="execution_by_finish", condition=Q(finished_at__isnull=False)),
            models.Index(
                fields=["owner", "-created_at"],
                name="execution_unfinished",
                condition=Q(status__in=["queued", "running", "waiting"]),
            ),
            models.Index(fields=["owner"], name="execution_owner_at_work", condition=Q(steps_running__gt=0)),
            # The order of workflow_pick, in sql/. The condition is not on `message_id`: PostgreSQL might then choose
            # that column's index while few rows have one, and read all of it.
            models.Index(
                F("next_slot"),
                Case(When(queue="high", then=0), When(queue="normal", then=2), default=4)
                + Case(When(steps_running__gt=0, then=1), default=0),
                F("wake_at"),
                name="execution_due",
                condition=Q(wake_at__isnull=False),
            ),
            models.Index(
                fields=["next_slot", "owner", "wake_at"],
                name="execution_due_by_owner",
                condition=Q(message_id__isnull=False),
            ),
            models.Index(
                fields=["workflow_id", "-created_at"],
                name="execution_of_workflow",
                condition=Q(workflow_id__isnull=False),
            ),
        )
        constraints = (
            models.UniqueConstraint(fields=["message_id"], name="one_message", condition=Q(message_id__isnull=False)),
            models.CheckConstraint(
                condition=Q(steps_running__lte=F("max_parallel")), name="execution_within_max_parallel"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.status})"

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED_EXECUTION
