"""What users do with webhooks. Each verb writes its audit event in its transaction."""

import secrets
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from aiworkstation.audit.models import AuditCursor
from aiworkstation.audit.record import record
from aiworkstation.web.errors import Conflict
from aiworkstation.web.serializers import invalid
from webhooks import deliver
from webhooks.models import ALERT_TYPES, OWN_TYPES, Delivery, EventType, Webhook
from workflows.models import WorkflowExecution

MAX_WEBHOOKS = 100
"""The most webhooks of one user."""
TEST_TYPE = "webhook.test"
WIRE_NAMES = {"url": "url", "types": "types", "project_id": "projectId", "tag": "tag", "is_paused": "isPaused"}


def create(user: User, fields: dict[str, Any]) -> Webhook:
    """`fields` are valid ones of the model. Raises Conflict if the user has too many, and ValidationError."""
    with transaction.atomic():
        cursor = AuditCursor.locked(deliver.CURSOR)
        if not Webhook.objects.exists():
            cursor.skip_to_end()  # a new webhook reports no earlier events
        if Webhook.objects.filter(owner=user).count() >= MAX_WEBHOOKS:
            raise Conflict(f"You have {MAX_WEBHOOKS} webhooks. Delete one first.", code="too_many_webhooks")
        _check_types(user, fields)
        defaults = {"types": list(OWN_TYPES), "project_id": "", "tag": ""}
        webhook = Webhook.objects.create(owner=user, nonce=_nonce(), **defaults | fields)
        webhook.refresh_from_db(fields=["created_at"])
        record(user, "webhook.created", _object(webhook), _state(webhook))
    return webhook


@transaction.atomic
def change(user: User, webhook: Webhook, fields: dict[str, Any]) -> Webhook:
    """Pauses or resumes a webhook, or changes its fields. Resuming it resets its failures."""
    webhook = _locked(webhook)
    _check_types(webhook.owner, fields)
    before = _state(webhook)
    for name, value in fields.items():
        setattr(webhook, name, value)
    if not fields.get("is_paused", True):
        webhook.paused_reason, webhook.failing_since = "", None
    webhook.save()
    if after := {name: value for name, value in _state(webhook).items() if value != before[name]}:
        changed = {name: {"from": before[name], "to": value} for name, value in after.items()}
        record(user, "webhook.changed", _object(webhook), changed)
    return webhook


@transaction.atomic
def rotate_secret(user: User, webhook: Webhook) -> Webhook:
    """Replaces the secret. For 24 hours, messages are also signed with the previous one."""
    webhook = _locked(webhook)
    webhook.nonce_before, webhook.nonce, webhook.rotated_at = webhook.nonce, _nonce(), timezone.now()
    webhook.save(update_fields=["nonce", "nonce_before", "rotated_at"])
    record(user, "webhook.secret_rotated", _object(webhook))
    return webhook


@transaction.atomic
def delete(user: User, webhook: Webhook) -> None:
    """Deletes a webhook. Deliveries that are waiting for another try end at that try."""
    record(user, "webhook.deleted", _object(webhook), _state(webhook))
    webhook.delete()


@transaction.atomic
def send_test(user: User, webhook: Webhook) -> Delivery:
    """Starts a delivery that is tried once, also if the webhook is paused."""
    data = {"webhookId": str(webhook.pk), "message": "This is a test."}
    body = deliver.message(TEST_TYPE, timezone.now(), data)
    delivery = deliver.store(webhook, TEST_TYPE, body, actor=user.username)
    record(user, "webhook.tested", _object(webhook), {"webhookMessage": delivery.message_id})
    return delivery


@transaction.atomic
def resend(user: User, delivery: Delivery) -> Delivery:
    """Sends the same message again, with the same `webhook-id`. Raises Conflict while it is being delivered."""
    delivery = Delivery.objects.select_for_update(of=("self",)).select_related("webhook").get(pk=delivery.pk)
    if WorkflowExecution.objects.unfinished().filter(pk=delivery.execution_id).exists():
        raise Conflict("The message is being delivered already.", code="wrong_state")
    if delivery.webhook.is_paused:
        raise Conflict("The webhook is paused. Resume it first.", code="wrong_state")
    deliver.start_job(delivery, actor=user.username)
    delivery.delivered_at = None
    delivery.save(update_fields=["execution_id", "delivered_at"])
    record(user, "webhook.resent", _object(delivery.webhook), {"webhookMessage": delivery.message_id})
    return delivery


def offered_types(user: User) -> list[tuple[str, str]]:
    """The types that webhooks of the user can get, with what they mean."""
    return [(each.value, str(each.label)) for each in EventType if user.is_staff or each not in ALERT_TYPES]


def _check_types(owner: User, fields: dict[str, Any]) -> None:
    """Raises ValidationError if the owner may not get one of the types."""
    offered = {name for name, _ in offered_types(owner)}
    if not offered.issuperset(fields.get("types", ())):
        raise ValidationError({"types": invalid("Only webhooks of staff can get alerts.", "staff_only")})


def _locked(webhook: Webhook) -> Webhook:
    return Webhook.objects.select_for_update().get(pk=webhook.pk)


def _nonce() -> str:
    return secrets.token_hex(16)


def _object(webhook: Webhook) -> str:
    return f"webhook:{webhook.pk}"


def _state(webhook: Webhook) -> dict[str, Any]:
    return {wire: getattr(webhook, name) for name, wire in WIRE_NAMES.items()}
