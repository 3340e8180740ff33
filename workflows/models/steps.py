"""The steps of executions. Each is run by a tool or a model."""

from typing import Self

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from aiworkstation.access.models import sees_only
from aiworkstation.ids import uuid7
from workflows.models.executions import WorkflowExecution


class StepStatus(models.TextChoices):
    PENDING = "pending"  # a dependency is not completed
    READY = "ready"  # may be claimed from `ready_at` on
    RUNNING = "running"  # a worker holds the lease, and proves it with the claim token in `token`
    WAITING = "waiting"  # for the end of a delay, or for an outside answer
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"  # a dependency failed
    CANCELLED = "cancelled"


FINISHED_STEP = (StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED)
RETRYABLE_STEP = (StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED)
CLAIMABLE = (StepStatus.READY, StepStatus.WAITING)


class StepQuerySet(models.QuerySet["WorkflowStep"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        owner = sees_only(user)
        return self if owner is None else self.filter(execution__owner=owner)

    def awaiting_approval(self) -> Self:
        """Steps that wait for a person. An approved step that waits for an outside worker is not one of them."""
        return self.filter(answer_by__isnull=False, approval__isnull=False).exclude(approval__has_key="answer")

    def answerable_by(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Steps with a question that `user` may answer: staff, the owner, and members of the step's group."""
        asked = self.filter(approval__isnull=False)
        if (owner := sees_only(user)) is None:
            return asked
        groups = list(Group.objects.filter(user=owner).values_list("name", flat=True))
        return asked.filter(Q(execution__owner=owner) | Q(approval__group__in=groups))


# Check constraints cost time at every UPDATE: see the comment at WorkflowExecution.
class WorkflowStep(models.Model):
    """A step of a job. A tool runs it, or a model if it names no tool."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    execution = models.ForeignKey(  # `step_index` serves it
        WorkflowExecution, on_delete=models.CASCADE, related_name="steps", db_index=False
    )
    index = models.IntegerField()
    name = models.CharField(max_length=300)
    description = models.TextField(blank=True)
    tool = models.CharField(max_length=100, blank=True, help_text="Empty: a model step.")
    slot = models.CharField(max_length=10, default="async", help_text="The kind of slot that its tool needs.")
    arguments = models.JSONField(
        null=True, blank=True, help_text="Given by the job, or chosen by a model and then kept."
    )
    depends_on = ArrayField(models.IntegerField(), default=list, help_text="Indexes of the steps that it depends on.")
    dependents = ArrayField(models.IntegerField(), default=list, help_text="Indexes of the steps that depend on it.")
    missing_dependencies = models.IntegerField(default=0)

    status = models.CharField(max_length=20, choices=StepStatus.choices, default=StepStatus.PENDING)
    ready_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When a ready or waiting step may be claimed; null: it waits for an outside answer.",
    )
    attempt = models.IntegerField(default=0, help_text="Number of the last attempt; it also counts earlier rounds.")
    attempts_before = models.IntegerField(default=0, help_text="Attempts of earlier rounds.")
    round = models.IntegerField(default=1, help_text="1, plus one for each retry by a user.")
    repeats_attempt = models.BooleanField(
        default=False,
        help_text="The last run did not count (a wait, a crash, a stop): the next run has the same number.",
    )
    max_attempts = models.SmallIntegerField(default=3)
    timeout_seconds = models.IntegerField(null=True, blank=True)
    crashes = models.SmallIntegerField(default=0)
    waiting_since = models.DateTimeField(null=True, blank=True, help_text="When the current series of waits began.")

    token = models.UUIDField(
        null=True, blank=True, help_text="Claim token: only the worker that has it may record the outcome."
    )
    lane = models.SmallIntegerField(null=True, blank=True)
    worker = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    silence_seconds = models.FloatField(
        null=True, blank=True, help_text="How long an outside worker may send no sign of life."
    )
    answer_by = models.DateTimeField(
        null=True, blank=True, help_text="Deadline for the outside answer; null: the step waits for none."
    )

    approval = models.JSONField(
        null=True, blank=True, help_text="What a person is asked before the step goes on, and what was answered."
    )

    progress = models.SmallIntegerField(default=0)
    message = models.CharField(max_length=500, blank=True)
    reported_at = models.DateTimeField(
        null=True, blank=True, help_text="When the outside worker signed the report that set progress and message."
    )
    output = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    model = models.CharField(max_length=200, blank=True, help_text="The model that answered.")
    usage = models.JSONField(null=True, blank=True)
    copied_from = models.UUIDField(
        null=True, blank=True, help_text="The step whose output this one has, if a rerun took it over."
    )
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = StepQuerySet.as_manager()

    class Meta:
        db_table = "workflow_steps"
        ordering = ("execution_id", "index")
        indexes = (
            models.Index(
                fields=["execution", "ready_at", "index"],
                name="step_claimable",
                condition=Q(status__in=["ready", "waiting"]),
            ),
            models.Index(fields=["answer_by"], name="step_answers", condition=Q(answer_by__isnull=False)),
            models.Index(fields=["finished_at"], name="step_failed", condition=Q(status="failed")),
        )
        constraints = (
            models.UniqueConstraint(fields=["execution", "index"], name="step_index"),
            # Also the list of running steps: the reaper reads all of it to find leases that ran out.
            models.UniqueConstraint(
                fields=["execution", "lane"], name="one_step_a_lane", condition=Q(status="running")
            ),
            models.CheckConstraint(
                condition=~Q(status="running")
                | Q(token__isnull=False, lane__isnull=False, lease_until__isnull=False, worker__isnull=False),
                name="step_running_is_leased",
            ),
            # A step that waits for an outside answer cannot be claimed, and no other step has a deadline for one.
            models.CheckConstraint(
                condition=Q(answer_by__isnull=True) | Q(status="waiting", ready_at__isnull=True),
                name="step_waits_for_answer",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.status})"
