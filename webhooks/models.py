"""Webhooks that users registered, and their deliveries."""

from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from aiworkstation.access.models import OwnedQuerySet
from aiworkstation.ids import uuid7
from workflows.models import WorkflowExecution


class EventType(models.TextChoices):
    """The events that a webhook can report."""

    JOB_COMPLETED = "job.completed", "A job is completed, perhaps with errors"
    JOB_FAILED = "job.failed", "A job failed"
    JOB_CANCELLED = "job.cancelled", "A job was cancelled"
    JOB_WAITING = "job.waiting", "A job waits for a person or an outside worker"
    DOCUMENT_INDEXED = "document.indexed", "A document is indexed"
    DOCUMENT_FAILED = "document.failed", "A document could not be indexed"
    ALERT_STARTED = "alert.started", "An alert began (staff only)"
    ALERT_RESOLVED = "alert.resolved", "An alert is over (staff only)"


ALERT_TYPES = (EventType.ALERT_STARTED, EventType.ALERT_RESOLVED)
"""These report on the whole application, so only webhooks of staff get them, and only if they ask for them."""
OWN_TYPES = tuple(each for each in EventType if each not in ALERT_TYPES)
"""These report on the owner's jobs and documents. They are the default."""


class WebhookQuerySet(OwnedQuerySet["Webhook"]):
    def of_staff(self) -> "WebhookQuerySet":
        return self.filter(owner__is_staff=True)

    def at_work(self) -> "WebhookQuerySet":
        return self.filter(is_paused=False, owner__is_active=True)


class Webhook(models.Model):
    """An address that gets messages about its owner's jobs and documents."""

    ROTATION: ClassVar = timedelta(hours=24)
    """How long the previous secret signs too."""
    PATIENCE: ClassVar = timedelta(days=3)
    """How long every try may fail before the webhook is paused."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhooks")
    url = models.CharField(max_length=2000)
    types = ArrayField(models.CharField(max_length=40))
    project_id = models.CharField(max_length=200, blank=True, help_text="Empty for every project, and none.")
    tag = models.CharField(max_length=200, blank=True, help_text="Empty for any tags.")
    is_paused = models.BooleanField(default=False)
    paused_reason = models.CharField(max_length=500, blank=True, help_text="Empty if its owner paused it.")
    nonce = models.CharField(max_length=64, help_text="The secret is computed from it and SECRET_KEY.")
    nonce_before = models.CharField(max_length=64, blank=True)
    rotated_at = models.DateTimeField(null=True, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True, help_text="The first failed try after a success.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        db_table = "webhooks"
        ordering = ("-created_at", "-id")

    def __str__(self) -> str:
        return self.url

    @property
    def host(self) -> str:
        return self.url.partition("://")[2].partition("/")[0]

    @property
    def nonces(self) -> list[str]:
        """The nonces of the secrets that sign now, newest first."""
        is_rotating = self.rotated_at is not None and timezone.now() < self.rotated_at + self.ROTATION
        return [self.nonce, *([self.nonce_before] if is_rotating else [])]

    def wants(self, event_type: str, *, project_id: str, tags: list[str]) -> bool:
        is_in_project = self.project_id in ("", project_id)
        return event_type in self.types and is_in_project and (not self.tag or self.tag in tags)


class DeliveryStatus(models.TextChoices):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def with_status(self) -> "DeliveryQuerySet":
        """Annotates `status`, which follows from the job that delivers it."""
        status = models.Case(
            models.When(delivered_at__isnull=False, then=models.Value(DeliveryStatus.DELIVERED.value)),
            models.When(_is_open(), then=models.Value(DeliveryStatus.PENDING.value)),
            default=models.Value(DeliveryStatus.FAILED.value),
        )
        return self.annotate(status=status)  # type: ignore[no-redef]  # declared on Delivery

    def over(self) -> "DeliveryQuerySet":
        """Those whose job is finished, or deleted."""
        return self.exclude(_is_open())

    def pending(self) -> "DeliveryQuerySet":
        """Those that are still to be delivered."""
        return self.filter(_is_open(), delivered_at=None)


def _is_open() -> models.Exists:
    """Whether a delivery's job is not finished."""
    return models.Exists(WorkflowExecution.objects.unfinished().filter(pk=models.OuterRef("execution_id")))


class Delivery(models.Model):
    """One message to one webhook. All of its tries have the same `webhook-id` and the same body."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    event_id = models.BigIntegerField(null=True, help_text="The audit event that it reports. Null for a test.")
    type = models.CharField(max_length=40)
    body = models.TextField()
    execution_id = models.UUIDField(help_text="The job that delivers it. Resending starts another.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    delivered_at = models.DateTimeField(null=True, blank=True)

    status: str
    """A DeliveryStatus. Only `with_status` sets it."""

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        db_table = "webhook_deliveries"
        ordering = ("-created_at", "-id")
        indexes = (
            models.Index(fields=["webhook", "-created_at", "-id"], name="delivery_by_webhook"),
            models.Index(fields=["created_at"], name="delivery_by_age"),
        )
        constraints = (models.UniqueConstraint(fields=["event_id", "webhook"], name="one_delivery_of_an_event"),)

    def __str__(self) -> str:
        return f"{self.type} {self.message_id}"

    @property
    def message_id(self) -> str:
        """The `webhook-id`."""
        return f"msg_{self.id.hex}"

    @property
    def is_test(self) -> bool:
        return self.event_id is None


class Try(models.Model):
    """A request that was sent, or could not be."""

    MAX_RESPONSE: ClassVar = 1000
    """How many characters of a response are kept."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="tries")
    at = models.DateTimeField(db_default=Now())
    status_code = models.IntegerField(null=True)
    response = models.TextField(blank=True)
    error = models.CharField(max_length=1000, blank=True, help_text="Empty if the endpoint accepted the message.")
    duration_ms = models.IntegerField()

    class Meta:
        db_table = "webhook_tries"
        ordering = ("at", "id")

    def __str__(self) -> str:
        return f"{self.status_code or self.error}"
