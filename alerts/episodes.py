"""The verbs of alerts.

`begin` and `resolve` change one row, if it is in the right state, in one transaction with the messages about it. So
each message is made once, however many processes notice the same thing, and whenever one of them dies.
"""

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest, Now
from django.urls import reverse
from django.utils import timezone

from aiworkstation.audit.record import record
from aiworkstation.web.serializers import wire_time
from alerts.conditions import Finding
from alerts.models import MAX_OPEN, OTHERS, Alert, AlertRule
from mail import outbox
from mail.models import Purpose

ACTOR = "alerts"


def begin(rule: AlertRule, finding: Finding, at: datetime | None = None) -> bool:
    """Begins an alert, or notes that the open one is still wrong at `at`. Returns whether it began."""
    at = at or timezone.now()
    open_one = Alert.objects.open().filter(rule=rule, subject=finding.subject)
    if open_one.update(wrong_at=Greatest(F("wrong_at"), at), right_since=None):
        return False
    if finding.subject != OTHERS and Alert.objects.open().filter(rule=rule).count() >= MAX_OPEN:
        return begin(rule, Finding(OTHERS, f"More alerts of the rule: {rule.name}", f"At first: {finding.summary}"), at)
    with transaction.atomic():
        # The unique index decides if several processes come here at once.
        (alert,) = Alert.objects.bulk_create([_new(rule, finding, at)], ignore_conflicts=True)
        if not Alert.objects.filter(pk=alert.pk).exists():
            return False
        changes = alert.data | {"startedAt": wire_time(at), "resolvedAt": None, "toWebhooks": alert.to_webhooks}
        record(ACTOR, "alert.started", f"alert:{alert.pk}", changes)
        lines = [alert.summary, "", alert.detail, "", f"Since: {at:%Y-%m-%d %H:%M:%S} UTC", *_footer(alert)]
        outbox.post(Purpose.ALERT, alert.addresses, f"Alert: {alert.summary}", "\n".join(lines))
    return True


def note_right(rule: AlertRule, subject: str, at: datetime | None = None) -> None:
    """Notes that the open alert, if there is one, is not wrong any more. It ends when the rule's calm time is over."""
    Alert.objects.open().filter(rule=rule, subject=subject, right_since=None).update(right_since=at or Now())


@transaction.atomic
def resolve(alert: Alert, outcome: str, *, actor: object = ACTOR) -> bool:
    """Ends an open alert. Returns False if it has ended already."""
    now = timezone.now()
    if not Alert.objects.open().filter(pk=alert.pk).update(resolved_at=now, outcome=outcome[:300]):
        return False
    times = {"startedAt": wire_time(alert.started_at), "resolvedAt": wire_time(now)}
    changes = alert.data | times | {"outcome": outcome[:300], "toWebhooks": alert.to_webhooks}
    record(actor, "alert.resolved", f"alert:{alert.pk}", changes)
    lines = [
        f"This alert is over: {alert.summary}",
        "",
        outcome,
        "",
        f"From {alert.started_at:%Y-%m-%d %H:%M:%S} to {now:%Y-%m-%d %H:%M:%S} UTC",
        *_footer(alert),
    ]
    outbox.post(Purpose.ALERT, alert.addresses, f"Over: {alert.summary}", "\n".join(lines))
    return True


def _new(rule: AlertRule, finding: Finding, at: datetime) -> Alert:
    return Alert(
        rule=rule,
        rule_name=rule.name,
        kind=rule.kind,
        subject=finding.subject[:200],
        summary=outbox.one_line(finding.summary, 300),
        detail=finding.detail,
        started_at=at,
        wrong_at=at,
        addresses=(rule.addresses or settings.CONFIG.alert_email) if rule.sends_mail and outbox.is_configured() else [],
        to_webhooks=rule.sends_webhooks,
    )


def _footer(alert: Alert) -> list[str]:
    site = settings.CONFIG.public_url
    return [
        f"Rule: {alert.rule_name}",
        "",
        f"All alerts: {site}{reverse('admin:alerts_alert_changelist')}",
        f"To change or mute the rule: {site}{reverse('admin:alerts_alertrule_changelist')}",
    ]


def calm_alerts() -> list[Alert]:
    """The open alerts whose calm time is over."""
    open_ones = Alert.objects.open().filter(right_since__isnull=False).select_related("rule")
    now = timezone.now()
    return [alert for alert in open_ones if alert.rule and _is_calm(alert, alert.rule, now)]


def _is_calm(alert: Alert, rule: AlertRule, now: datetime) -> bool:
    return (now - alert.wrong_at).total_seconds() >= rule.calm_seconds
