"""The only ways to a webhook, to its deliveries, and to lists of them."""

from django.http import Http404

from aiworkstation.access.lookup import Caller, as_uuid, get_visible, owned_by
from webhooks.models import Delivery, DeliveryQuerySet, Webhook, WebhookQuerySet

NEWEST_FIRST = ("-created_at", "-id")


def get_webhook(user: Caller, id: str) -> Webhook:
    """Raises Http404 if it does not exist, and NotYours, which looks the same, if it is another user's."""
    return get_visible(Webhook.objects.select_related("owner"), user, as_uuid(id), "webhook")


def list_webhooks(user: Caller, owner: str = "") -> WebhookQuerySet:
    return owned_by(Webhook.objects.select_related("owner"), user, owner)


def list_deliveries(webhook: Webhook) -> DeliveryQuerySet:
    return Delivery.objects.with_status().filter(webhook=webhook).prefetch_related("tries")


def get_delivery(webhook: Webhook, id: str) -> Delivery:
    """Raises Http404."""
    key = as_uuid(id)
    found = list_deliveries(webhook).select_related("webhook").filter(pk=key).first() if key else None
    if found is None:
        raise Http404("The webhook has no such delivery.")
    return found
