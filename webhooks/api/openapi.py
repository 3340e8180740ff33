"""Webhooks in the OpenAPI document: see `aiworkstation.web.openapi`."""

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from aiworkstation.web.openapi import Operation, describe, example, list_of
from aiworkstation.web.paging import PageQuery
from aiworkstation.web.serializers import NoParameters
from webhooks.api import views
from webhooks.serializers import DeliverySerializer, NewWebhook, WebhookChanges, WebhookSerializer, WebhooksQuery

WRONG_STATE = {409: "`wrong_state`: the message is being delivered, or the webhook is paused."}
NO_BODY: list[OpenApiExample] = [example("No fields", {})]


class WebhookWithSecret(WebhookSerializer):
    secret = serializers.CharField(help_text="`whsec_…`. It is shown only once.")


describe(views.webhooks, "GET", Operation(
    "listWebhooks", "List webhooks", query=WebhooksQuery,
    answers={200: list_of("webhooks", WebhookSerializer(many=True))}, is_conditional=True,
))  # fmt: skip
describe(views.webhooks, "POST", Operation(
    "createWebhook", "Create a webhook", "Only the URL is required. The secret signs the messages.", body=NewWebhook,
    answers={201: WebhookWithSecret},
    errors={
        400: "`address_not_allowed`: a private address that HTTP_ALLOWED_PRIVATE_HOSTS does not list. "
        "`staff_only`: only webhooks of staff can get alerts.",
        409: "`too_many_webhooks`: delete one first.",
    },
    examples=[example("Failures of one project", {
        "url": "https://example.com/hook", "types": ["job.failed", "document.failed"], "projectId": "project-123",
    })],
))  # fmt: skip
describe(views.webhook, "GET", Operation(
    "getWebhook", "Read a webhook", query=NoParameters, answers={200: WebhookSerializer}, is_conditional=True,
))  # fmt: skip
describe(views.webhook, "PATCH", Operation(
    "changeWebhook", "Change, pause or resume a webhook", query=NoParameters, body=WebhookChanges,
    answers={200: WebhookSerializer},
    errors={400: "`address_not_allowed`: a private address that HTTP_ALLOWED_PRIVATE_HOSTS does not list."},
    examples=[example("Pause it", {"isPaused": True})],
))  # fmt: skip
describe(views.webhook, "DELETE", Operation(
    "deleteWebhook", "Delete a webhook and its deliveries", query=NoParameters, answers={204: None},
))  # fmt: skip
describe(views.test, "POST", Operation(
    "testWebhook", "Send a test message once", body=NoParameters, is_body_required=False,
    answers={202: DeliverySerializer}, examples=NO_BODY,
))  # fmt: skip
describe(views.rotate_secret, "POST", Operation(
    "rotateWebhookSecret", "Create a new secret", "For 24 hours, the previous secret signs too.", body=NoParameters,
    is_body_required=False, answers={200: WebhookWithSecret}, examples=NO_BODY,
))  # fmt: skip
describe(views.deliveries, "GET", Operation(
    "listDeliveries", "List the messages of a webhook", query=PageQuery,
    answers={200: list_of("deliveries", DeliverySerializer(many=True))}, is_conditional=True,
))  # fmt: skip
describe(views.resend, "POST", Operation(
    "resendDelivery", "Send a message again", "It keeps its `webhook-id`.", body=NoParameters, is_body_required=False,
    answers={202: DeliverySerializer}, errors=WRONG_STATE, examples=NO_BODY,
))  # fmt: skip
