"""Mails that are to be sent, or were."""

from datetime import timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aiworkstation.ids import uuid7


class Purpose(models.TextChoices):
    ALERT = "alert", "An alert began or is over"
    QUESTION = "question", "A step asks a person"
    WEBHOOK = "webhook", "A webhook was paused"


class MailQuerySet(models.QuerySet["Mail"]):
    def due(self) -> Self:
        return self.filter(next_try_at__lte=Now())


class Mail(models.Model):
    """A mail to one address. It is stored in the transaction of its reason, and sent afterwards.

    The link of a question is not stored: it is made when the mail is sent (`links.py`).
    """

    PATIENCE: ClassVar = timedelta(days=3)
    """How long it is tried."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    purpose = models.CharField(max_length=20, choices=Purpose.choices)
    address = models.CharField(max_length=254)
    subject = models.CharField(max_length=200)
    body = models.TextField()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+", help_text="Who is asked."
    )
    step_id = models.UUIDField(null=True, help_text="The step that asks.")
    asker = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+", help_text="Whose job asks."
    )
    claim = models.UUIDField(null=True, help_text="The claim token under which it asks: each question has another.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    tries = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(
        null=True, db_default=Now(), help_text="While a process is sending it: when another process may. Null: over."
    )
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True, help_text="Why the last try failed, or why there is none.")

    objects = MailQuerySet.as_manager()

    class Meta:
        db_table = "mails"
        ordering = ("-created_at", "-id")
        indexes = (
            models.Index(fields=["next_try_at"], name="mail_due", condition=Q(next_try_at__isnull=False)),
            models.Index(fields=["-created_at", "-id"], name="mail_by_age"),
        )
        constraints = (
            models.UniqueConstraint(fields=["claim", "user"], name="one_mail_of_a_question"),
            models.CheckConstraint(
                condition=~Q(purpose=Purpose.QUESTION) | Q(step_id__isnull=False, claim__isnull=False),
                name="mail_of_a_question",
            ),
        )

    def __str__(self) -> str:
        return f"{self.subject} to {self.address}"
