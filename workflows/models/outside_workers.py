"""Other systems that carry out steps, and the callbacks that were accepted from them."""

from datetime import timedelta
from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from workflows.models.grants import granted_to


class OutsideWorkerQuerySet(models.QuerySet["OutsideWorker"]):
    def usable_by(self, owner_id: int) -> Self:
        """The workers that are granted to one of the owner's groups, or to everybody."""
        return self.filter(granted_to(owner_id)).distinct()


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
