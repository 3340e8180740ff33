"""The only ways to a webhook, to its deliveries, and to lists of them."""

from django.http import Http404

from aiworkstation.access.lookup import Caller, as_uuid, owned_by
from aiworkstation.access.not_yours import NotYours
from webhooks.models import Delivery, DeliveryQuerySet, Webhook, WebhookQuerySet

NEWEST_FIRST = ("-created_at", "-id")


def get_webhook(user: Caller, id: str) -> Webhook:
    """Raises Http404 if it does not exist, and NotYours, which looks the same, if it is another user's."""
    key = as_uuid(id)
    rows = Webhook.objects.select_related("owner")
    webhook = rows.visible_to(user).filter(pk=key).first() if key else None
    if webhook is not None:
        return webhook
    if key and rows.filter(pk=key).exists():
        raise NotYours(f"webhook:{key}")
    raise Http404("There is no such webhook.")


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
