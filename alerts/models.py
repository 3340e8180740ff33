"""Rules that say what is an alert, and the alerts that they gave."""

from typing import Any, Self

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aiworkstation.ids import uuid7

MAX_SECONDS = 30 * 24 * 3600
MAX_ADDRESSES = 20
MAX_OPEN = 20
"""Open alerts of one rule. Everything beyond is one alert, so that an outage is not a thousand mails."""
OTHERS = "*"
"""The subject of that alert. No job type and no schedule is called so."""


class Kind(models.TextChoices):
    JOB_FAILED = "job_failed", "A job of a type failed"
    FAILURE_SHARE = "failure_share", "Too many of the finished jobs failed"
    OLDEST_DUE = "oldest_due", "The oldest due job has waited too long"
    NO_WORKER = "no_worker", "No worker is alive"
    MISSED_SCHEDULE = "missed_schedule", "A schedule missed a due time"


OF_JOBS = (Kind.JOB_FAILED, Kind.FAILURE_SHARE)
"""The kinds that a job type can restrict."""


class RuleQuerySet(models.QuerySet["AlertRule"]):
    def at_work(self) -> Self:
        return self.filter(is_muted=False)


class AlertRule(models.Model):
    """What is an alert, and who gets it. Staff change rules in the admin."""

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    job_type = models.CharField(
        max_length=100,
        blank=True,
        help_text="Only jobs of this type. Empty: every type. Only for the two kinds about jobs.",
    )
    limit = models.FloatField(
        default=60,
        validators=[MinValueValidator(0), MaxValueValidator(MAX_SECONDS)],
        help_text="Too many jobs failed: more than so many percent. Oldest due job, no worker, missed schedule: for "
        "longer than so many seconds. A failed job has no limit.",
    )
    window_seconds = models.PositiveIntegerField(
        default=900,
        validators=[MinValueValidator(60), MaxValueValidator(MAX_SECONDS)],
        help_text="Too many jobs failed: of those that finished within so many seconds.",
    )
    least_jobs = models.PositiveIntegerField(
        default=10, validators=[MinValueValidator(1)], help_text="Too many jobs failed: if so many jobs finished."
    )
    calm_seconds = models.PositiveIntegerField(
        default=60,
        validators=[MaxValueValidator(MAX_SECONDS)],
        help_text="An alert is over when nothing was wrong for so many seconds. So what comes and goes is one alert.",
    )
    sends_mail = models.BooleanField(default=True)
    addresses = ArrayField(
        models.EmailField(),
        size=MAX_ADDRESSES,
        default=list,
        blank=True,
        help_text="Where it is mailed to, separated by commas. Empty: ALERT_EMAIL.",
    )
    sends_webhooks = models.BooleanField(
        default=True, help_text="Webhooks of staff that ask for alert.started or alert.resolved get it."
    )
    is_muted = models.BooleanField(default=False, help_text="A muted rule notices nothing. Its open alerts end.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = RuleQuerySet.as_manager()

    class Meta:
        db_table = "alert_rules"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.kind == Kind.FAILURE_SHARE and self.limit is not None and self.limit >= 100:
            raise ValidationError({"limit": "Write a percentage below 100: more than 100 percent cannot fail."})
        if self.job_type and self.kind not in OF_JOBS:
            raise ValidationError({"job_type": "This kind is not about jobs of a type. Leave the field empty."})

    def covers(self, alert: "Alert") -> bool:
        """Whether the rule, as it is now, would still give this alert."""
        if self.kind != alert.kind:
            return False
        if alert.subject == OTHERS:
            return True
        if self.kind == Kind.JOB_FAILED:  # without a type, each type has its own alert
            return self.job_type in ("", alert.subject)
        return self.kind != Kind.FAILURE_SHARE or self.job_type == alert.subject


class AlertQuerySet(models.QuerySet["Alert"]):
    def open(self) -> Self:
        return self.filter(resolved_at=None)


class Alert(models.Model):
    """Something that was wrong from `started_at` to `resolved_at`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    rule = models.ForeignKey(AlertRule, on_delete=models.SET_NULL, null=True, related_name="alerts")
    rule_name = models.CharField(max_length=100)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    subject = models.CharField(
        max_length=200, blank=True, help_text="The job type or the id of the schedule. Empty: the whole application."
    )
    summary = models.CharField(max_length=300)
    detail = models.TextField(blank=True)
    started_at = models.DateTimeField(db_default=Now())
    wrong_at = models.DateTimeField(db_default=Now(), help_text="When it was last seen to be wrong.")
    right_since = models.DateTimeField(null=True, help_text="When it was first seen to be right again.")
    resolved_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=300, blank=True, help_text="How it ended.")
    addresses = ArrayField(models.EmailField(), default=list, help_text="Who got the mail, and gets that of its end.")
    to_webhooks = models.BooleanField()

    objects = AlertQuerySet.as_manager()

    class Meta:
        db_table = "alerts"
        ordering = ("-started_at", "-id")
        constraints = (
            # However many processes notice it: one of them stores it, and that one sends the message.
            models.UniqueConstraint(fields=["rule", "subject"], name="one_open_alert", condition=Q(resolved_at=None)),
        )

    def __str__(self) -> str:
        return self.summary

    @property
    def data(self) -> dict[str, Any]:
        """The alert in audit events and webhooks, without its times."""
        return {
            "alertId": str(self.pk),
            "rule": self.rule_name,
            "kind": self.kind,
            "subject": self.subject or None,
            "summary": self.summary,
            "detail": self.detail,
        }
