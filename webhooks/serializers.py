"""Webhooks and deliveries as JSON, and what requests may contain."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from aiworkstation.web.paging import PageQuery
from aiworkstation.web.serializers import (
    Boolean,
    BoundedList,
    Choice,
    Errors,
    Name,
    NullIfEmpty,
    StrictSerializer,
    Text,
    Time,
    invalid,
)
from documents.labels import MAX_TAG, ProjectIdField
from webhooks.models import DeliveryStatus, EventType
from workflows.errors import StepError
from workflows.network import http_client

MAX_URL = 2000


class UrlField(Name):
    """An address that a step may reach, as far as that is known before a name server is asked."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_URL, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        url = super().to_internal_value(data)
        try:
            http_client.check_url(url)
        except StepError as error:
            code = error.code if error.code == "address_not_allowed" else "invalid"
            raise ValidationError(invalid(error.message, code)) from error
        return url


class EventTypesField(BoundedList):
    """At least one type. Each is kept once."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(child=Choice(EventType.values), min_length=1, max_length=len(EventType.values), **kwargs)

    def to_internal_value(self, data: Any) -> list[str]:
        return list(dict.fromkeys(super().to_internal_value(data)))


class NewWebhook(StrictSerializer):
    url = UrlField()
    types = EventTypesField(required=False)
    projectId = ProjectIdField(required=False, allow_null=True)
    tag = Text(max_length=MAX_TAG, required=False, allow_null=True, allow_blank=True)
    isPaused = Boolean(required=False, source="is_paused")

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        """null is "every project", and any tags."""
        for name in ("project_id", "tag"):
            if name in value:
                value[name] = value[name] or ""


class WebhookChanges(NewWebhook):
    url = UrlField(required=False)


class WebhooksQuery(PageQuery):
    owner = serializers.CharField(required=False, default="")


class WebhookSerializer(serializers.Serializer[Any]):
    webhookId = serializers.CharField(source="id")
    owner = serializers.CharField(source="owner.username")
    url = serializers.CharField()
    types = serializers.ListField(child=serializers.ChoiceField(EventType.values))
    projectId = NullIfEmpty(source="project_id")
    tag = NullIfEmpty()
    isPaused = serializers.BooleanField(source="is_paused")
    pausedReason = NullIfEmpty(source="paused_reason")
    failingSince = Time(source="failing_since", allow_null=True)
    createdAt = Time(source="created_at")


class TrySerializer(serializers.Serializer[Any]):
    at = Time()
    statusCode = serializers.IntegerField(source="status_code", allow_null=True)
    response = serializers.CharField()
    error = NullIfEmpty()
    durationMs = serializers.IntegerField(source="duration_ms")


class DeliverySerializer(serializers.Serializer[Any]):
    """A delivery with its `status`."""

    deliveryId = serializers.CharField(source="id")
    messageId = serializers.CharField(source="message_id")
    type = serializers.CharField()
    status = serializers.ChoiceField(DeliveryStatus.values)
    jobId = serializers.CharField(source="execution_id")
    createdAt = Time(source="created_at")
    deliveredAt = Time(source="delivered_at", allow_null=True)
    tries = TrySerializer(many=True)
