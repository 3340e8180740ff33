"""The engine's rows: executions (jobs), their steps, and the workers that run them.

Only the verbs of `engine` write a status.
"""

from datetime import timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now
from django.utils import timezone

from aiworkstation.access.models import OwnedQuerySet, sees_only
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


class StepStatus(models.TextChoices):
    PENDING = "pending"  # a dependency is not completed
    READY = "ready"  # may be claimed from `ready_at` on
    RUNNING = "running"  # a worker holds the lease, and proves it with the claim token in `token`
    WAITING = "waiting"  # for the end of a delay, or for an outside answer
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"  # a dependency failed
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
FINISHED_STEP = (StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED)
RETRYABLE_STEP = (StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED)
CLAIMABLE = (StepStatus.READY, StepStatus.WAITING)


class ExecutionQuerySet(OwnedQuerySet["WorkflowExecution"]):
    def unfinished(self) -> "ExecutionQuerySet":
        return self.exclude(status__in=FINISHED_EXECUTION)

    def finished(self) -> "ExecutionQuerySet":
        return self.filter(status__in=FINISHED_EXECUTION)


# PostgreSQL reads and compiles a table's check constraints again for every UPDATE. Those of the two tables below once
# took a third of a turn. So integers are plain (a PositiveIntegerField adds a check), and checks exist only for rules
# over several columns.
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
    draining = models.BooleanField(default=False)
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


class Pause(models.Model):
    """While this row exists, no step and no task starts on any machine. Running ones continue to their end."""

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    since = models.DateTimeField(db_default=Now())
    by = models.CharField(max_length=200)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        db_table = "workflow_pauses"
        constraints = (models.CheckConstraint(condition=Q(id=1), name="one_pause"),)

    def __str__(self) -> str:
        return f"paused by {self.by}" + (f": {self.reason}" if self.reason else "")


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


class SeenWebhook(models.Model):
    """The `webhook-id` of a callback, stored in the transaction of its effect, so that none takes effect twice."""

    KEPT: ClassVar[timedelta] = timedelta(days=1)
    """Far longer than a signature is valid, because senders repeat a message with the same id and a new signature."""

    webhook_id = models.CharField(primary_key=True, max_length=255)
    seen_at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        db_table = "workflow_seen_webhooks"

    def __str__(self) -> str:
        return self.webhook_id

    @classmethod
    def remember(cls, webhook_id: str) -> bool:
        """Returns False if the id was seen before. Another request with this id waits until this transaction ends."""
        _, created = cls.objects.get_or_create(webhook_id=webhook_id)
        return created

    @classmethod
    def prune(cls) -> None:
        cls.objects.filter(seen_at__lt=timezone.now() - cls.KEPT).delete()


HOST_AND_PORT = RegexValidator(r"\A[a-z0-9.\[\]:_-]+:[0-9]{1,5}\Z", "Write host:port, in lower case.")


def _granted_to(user_id: int) -> Q:
    """Rows whose groups the user is in, and those that are granted to everybody."""
    return Q(groups=None) | Q(groups__user=user_id)


class ModeQuerySet(models.QuerySet["Mode"]):
    def usable_by(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """The modes that are granted to one of the user's groups, or to everybody."""
        return self.filter(_granted_to(user.pk or 0)).distinct()


class Mode(models.Model):
    """A named set of instructions for models: a prompt, a default model, and the tools that steps may use."""

    DEFAULT: ClassVar[str] = "General"

    name = models.CharField(max_length=60, unique=True)
    prompt = models.TextField(blank=True, help_text="Instructions at the beginning of every model call.")
    default_model = models.CharField(max_length=200, blank=True, help_text="Empty: DEFAULT_MODEL.")
    tools = ArrayField(
        models.CharField(max_length=100),
        default=list,
        blank=True,
        help_text="Slugs of the tools that it may use; empty: every tool.",
    )
    model_ids = ArrayField(
        models.CharField(max_length=200),
        default=list,
        blank=True,
        help_text="The models that a job may name in it, separated by commas; empty: every model.",
    )
    hosts = ArrayField(
        models.CharField(max_length=260, validators=[HOST_AND_PORT]),
        default=list,
        blank=True,
        help_text="host:port, separated by commas, to which arguments may go that a model chose, such as "
        "api.example.com:443. For other hosts, a person is asked.",
    )
    groups = models.ManyToManyField(
        "auth.Group", blank=True, help_text="Whose members may start jobs in this mode. None selected: everybody."
    )

    objects = ModeQuerySet.as_manager()

    class Meta:
        db_table = "workflow_modes"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def allows(self, tool: str) -> bool:
        return not self.tools or tool in self.tools


class SecretGrantQuerySet(models.QuerySet["SecretGrant"]):
    def for_job(self, mode: str, owner_id: int) -> Self:
        """The grants that a job of this mode and owner may use."""
        of_mode = Q(modes=None) | Q(modes__name=mode)
        return self.filter(of_mode, _granted_to(owner_id)).distinct()


class SecretGrant(models.Model):
    """Where the secret SECRET_NAME may be sent. Without a grant, it is not sent. Staff create grants in the admin."""

    secret = models.CharField(
        max_length=100,
        validators=[RegexValidator(r"\A[A-Za-z0-9_]+\Z", "Write the name as in {{secret.NAME}}, without SECRET_.")],
        help_text="The name as in {{secret.NAME}}. The value is SECRET_NAME in the environment of the workers.",
    )
    hosts = ArrayField(
        models.CharField(max_length=260, validators=[HOST_AND_PORT]),
        help_text="host:port, separated by commas, such as api.example.com:443. Reached over https only, except "
        "hosts in HTTP_ALLOWED_PRIVATE_HOSTS.",
    )
    places = ArrayField(
        models.CharField(
            max_length=300,
            validators=[
                RegexValidator(
                    r"\A(header:[a-z0-9-]+|query:.+|body|body:.+)\Z",
                    "Write header:NAME (in lower case), query:NAME, body or body:PATH.",
                )
            ],
        ),
        help_text="header:NAME (in lower case), query:NAME, body (text) or body:PATH (keys of the JSON with dots), "
        "separated by commas, such as header:authorization.",
    )
    modes = models.ManyToManyField(Mode, blank=True, help_text="None selected: every mode.")
    groups = models.ManyToManyField(
        "auth.Group", blank=True, help_text="The owner of the job must be in one of them. None selected: everybody."
    )

    objects = SecretGrantQuerySet.as_manager()

    class Meta:
        db_table = "workflow_secret_grants"
        ordering = ("secret", "pk")

    def __str__(self) -> str:
        return f"{self.secret} to {', '.join(self.hosts)}"


class OutsideWorkerQuerySet(models.QuerySet["OutsideWorker"]):
    def usable_by(self, owner_id: int) -> Self:
        """The workers that are granted to one of the owner's groups, or to everybody."""
        return self.filter(_granted_to(owner_id)).distinct()


class OutsideWorker(models.Model):
    """Another system that may carry out steps. Staff register it in the admin.

    While there is none, steps may name any address, and CALLBACK_SECRET signs the requests.
    """

    name = models.CharField(
        max_length=60,
        unique=True,
        validators=[RegexValidator(r"\A[a-z0-9-]+\Z", "Write lower-case letters, digits and hyphens.")],
        help_text="What steps write as `worker`.",
    )
    addresses = ArrayField(
        models.CharField(
            max_length=500,
            validators=[
                RegexValidator(r"\Ahttps?://[^\s,]+\Z", "Write addresses that begin with http:// or https://.")
            ],
        ),
        help_text="Where it accepts steps, separated by commas. A step that names no address is posted to the first.",
    )
    secret = models.CharField(max_length=200, help_text="What signs both ways: whsec_ and random bytes in base64.")
    groups = models.ManyToManyField(
        "auth.Group", blank=True, help_text="The owner of the job must be in one of them. None selected: everybody."
    )

    objects = OutsideWorkerQuerySet.as_manager()

    class Meta:
        db_table = "workflow_outside_workers"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
