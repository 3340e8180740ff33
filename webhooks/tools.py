"""WEBHOOK_DELIVERY: sends one message to a webhook, and notes the response."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils import timezone
from pydantic import Field

from aiworkstation.audit.record import record
from mail import outbox
from mail.models import Purpose
from webhooks import signing
from webhooks.deliver import DELAYS, TOOL
from webhooks.models import ALERT_TYPES, Delivery, Try, Webhook
from workflows.errors import PermanentError, StepError
from workflows.network import http_client, network_errors
from workflows.tools import Arguments, StepContext, Tool, register
from workflows.worker.threads import in_thread

ACTOR = "webhooks"
TIMEOUT = 20.0
GONE = 410
PAUSE_WITHOUT_WORKERS = timedelta(minutes=1)
"""The pause between the tries of a message while no worker is alive."""
MOST_WITHOUT_WORKERS = 20

_database = ThreadPoolExecutor(2, thread_name_prefix="webhook")


class DeliveryArguments(Arguments):
    delivery_id: UUID = Field(alias="deliveryId")


class NotDelivered(StepError):
    """The endpoint did not accept the message."""

    code = "not_delivered"

    def __init__(self, message: str, *, code: str, retry_after: float | None = None, is_final: bool = False) -> None:
        super().__init__(message, code=code, retryable=not is_final)
        wait = min(retry_after or 0, DELAYS[-1])
        self.retry_delays = tuple(max(delay, wait) for delay in DELAYS)


@register
class WebhookDelivery(Tool):
    """Every failure is an attempt, also a refused connection: the delays are those of deliveries, not of tools."""

    slug = TOOL
    description = "Sends a message to a webhook."
    is_internal = True
    Arguments: ClassVar[type[Arguments]] = DeliveryArguments

    async def run(self, context: StepContext, arguments: DeliveryArguments) -> dict[str, Any]:
        delivery = await in_thread(_database, _load, context, arguments.delivery_id)
        if delivery.delivered_at:  # by `send_without_workers`
            return {"webhookId": delivery.message_id, "status": None}
        sent, failure = await _send(delivery)
        await in_thread(_database, _note, sent)
        if failure:
            raise failure
        return {"webhookId": delivery.message_id, "status": sent.status_code}


def send_without_workers(may_go_on: Callable[[], bool]) -> int:
    """Sends the alerts that wait for a worker, because no worker is alive: that may be what they report.

    Their jobs stay, and end when a worker finds the message delivered. `may_go_on` is asked before each message.
    Returns how many were tried.
    """
    recent = Try.objects.filter(delivery=OuterRef("pk"), at__gt=timezone.now() - PAUSE_WITHOUT_WORKERS)
    waiting = Delivery.objects.pending().filter(~Exists(recent), type__in=ALERT_TYPES, webhook__is_paused=False)
    tried = 0
    for delivery in waiting.select_related("webhook__owner").order_by("created_at")[:MOST_WITHOUT_WORKERS]:
        if not may_go_on():
            break
        sent, _ = asyncio.run(_send(delivery))
        _note(sent)
        tried += 1
    return tried


async def _send(delivery: Delivery) -> tuple[Try, NotDelivered | None]:
    """Returns the try, which is not stored yet, and why it failed."""
    started = time.monotonic()
    sent = Try(delivery=delivery)
    failure: NotDelivered | None = None
    try:
        response = await http_client.send(_request(delivery))
        sent.status_code = response.status
        sent.response = response.text[: Try.MAX_RESPONSE]
        failure = _refusal(response)
    except StepError as error:
        failure = NotDelivered(error.message, code=error.code, is_final=error.code == "address_not_allowed")
    sent.duration_ms = round(1000 * (time.monotonic() - started))
    sent.error = failure.message[:1000] if failure else ""
    return sent, failure


def _load(context: StepContext, id: UUID) -> Delivery:
    """Raises PermanentError if the delivery is not to be made any more."""
    found = Delivery.objects.select_related("webhook").filter(pk=id, execution_id=context.execution_id).first()
    if found is None:
        raise PermanentError("The webhook was deleted.", code="webhook_deleted")
    if found.webhook.is_paused and not found.is_test:
        raise PermanentError("The webhook is paused. Resume it, then resend the message.", code="webhook_paused")
    return found


def _request(delivery: Delivery) -> http_client.Request:
    return http_client.Request(
        method="POST",
        url=delivery.webhook.url,
        headers={"content-type": "application/json"},
        body=delivery.body.encode(),
        timeout=TIMEOUT,
        sign=partial(signing.signed_headers, delivery.webhook, delivery.message_id),
        follows=False,
        fills_secrets=False,
    )


def _refusal(response: http_client.Response) -> NotDelivered | None:
    status = response.status
    if 200 <= status < 300:
        return None
    hint = " Redirects are not followed: give the final URL." if 300 <= status < 400 else ""
    wait = network_errors.retry_after(response.headers) if status in (429, 503) else None
    message = f"{response.host} answered {status}.{hint}"
    return NotDelivered(message, code=f"http_{status}", retry_after=wait, is_final=status == GONE)


@transaction.atomic
def _note(sent: Try) -> None:
    """Stores the try, and updates the webhook. A test can only show that the endpoint works again."""
    delivery, now = sent.delivery, timezone.now()
    if not Delivery.objects.filter(pk=delivery.pk).exists():
        return  # deleted meanwhile, with its webhook
    sent.save(force_insert=True)
    this = Webhook.objects.filter(pk=delivery.webhook_id)
    if not sent.error:
        Delivery.objects.filter(pk=delivery.pk).update(delivered_at=now)
        this.exclude(failing_since=None).update(failing_since=None)
        return
    if delivery.is_test:
        return
    this.filter(failing_since=None).update(failing_since=now)
    if sent.status_code == GONE:
        _pause(delivery.webhook, "The endpoint answered 410: it is gone.")
    elif this.filter(failing_since__lte=now - Webhook.PATIENCE).exists():
        _pause(delivery.webhook, f"Every delivery failed for {Webhook.PATIENCE.days} days. The last one: {sent.error}")


def _pause(webhook: Webhook, reason: str) -> None:
    """Two deliveries may fail at once: the one whose update finds the webhook unpaused records and mails it."""
    if Webhook.objects.filter(pk=webhook.pk, is_paused=False).update(is_paused=True, paused_reason=reason[:500]):
        record(ACTOR, "webhook.paused", f"webhook:{webhook.pk}", {"url": webhook.url, "reason": reason[:500]})
        _tell_owner(webhook, reason)


def _tell_owner(webhook: Webhook, reason: str) -> None:
    lines = (
        "Your webhook was paused. It gets no messages until you resume it.",
        "",
        "Its address and the reason:",
        outbox.quoted(f"{webhook.url}\n{reason}", 3000),
        "",
        "When the endpoint works again, resume the webhook and resend the failed messages that you need:",
        f"{settings.CONFIG.public_url}{reverse('webhooks:webhook', args=[webhook.pk])}",
    )
    subject = f"Your webhook to {webhook.host} was paused"
    outbox.post_to(webhook.owner, Purpose.WEBHOOK, subject, "\n".join(lines))
