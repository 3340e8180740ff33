"""The API of figures over time."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from aiworkstation.web.requests import READING
from aiworkstation.web.serializers import Errors, StrictSerializer, Time, invalid, read_query
from jobs.dashboard import dashboard, dashboard_json
from jobs.job_metrics import DEFAULT_PERIOD, MAX_PERIOD, Period, job_metrics

FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class MetricsQuery(StrictSerializer):
    to = serializers.DateTimeField(required=False)
    type = serializers.CharField(required=False)
    model = serializers.CharField(required=False)
    mode = serializers.CharField(required=False)
    projectId = serializers.CharField(required=False, source="project_id")
    owner = serializers.CharField(required=False)

    def cross_check(self, data: Mapping[str, Any], value: dict[str, Any], errors: Errors) -> None:
        for name in ("from", "to"):
            if name in value and not FIRST <= value[name] < LAST:
                errors[name] = invalid(f"Must be between {FIRST.year} and {LAST.year}.")
        if "from" in errors or "to" in errors:
            return
        end = value.get("to") or timezone.now()
        start = value.get("from") or end - DEFAULT_PERIOD
        if start >= end:
            errors["from"] = invalid("Must be before to.")
        elif end - start > MAX_PERIOD:
            errors["from"] = invalid(f"The period is too long: at most {MAX_PERIOD.days} days.", "max_value")
        value["period"] = Period(start, end)


# `from` is a reserved word in Python.
MetricsQuery._declared_fields["from"] = serializers.DateTimeField(required=False)


class BucketSerializer(serializers.Serializer[Any]):
    at = Time()
    seconds = serializers.IntegerField()
    started = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    waitP50Ms = serializers.IntegerField(allow_null=True)
    waitP95Ms = serializers.IntegerField(allow_null=True)
    durationP50Ms = serializers.IntegerField(allow_null=True)
    durationP95Ms = serializers.IntegerField(allow_null=True)
    inputTokens = serializers.IntegerField()
    outputTokens = serializers.IntegerField()
    costUsd = serializers.CharField(allow_null=True)


class QueueSerializer(serializers.Serializer[Any]):
    depth = serializers.IntegerField()
    oldestDueSeconds = serializers.FloatField()


class WorkersSerializer(serializers.Serializer[Any]):
    alive = serializers.IntegerField()
    slots = serializers.IntegerField()
    busy = serializers.IntegerField()


class JobMetricsSerializer(serializers.Serializer[Any]):
    """The answer, for the OpenAPI document."""

    buckets = BucketSerializer(many=True)
    queue = QueueSerializer()
    workers = WorkersSerializer()


class DashboardBucketSerializer(BucketSerializer):
    completedWithErrors = serializers.IntegerField()
    failureRate = serializers.FloatField(allow_null=True)


class LabelUsageSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(allow_blank=True)
    inputTokens = serializers.IntegerField()
    outputTokens = serializers.IntegerField()
    costUsd = serializers.CharField(allow_null=True)


class TypeFiguresSerializer(LabelUsageSerializer):
    started = serializers.IntegerField()
    ended = serializers.IntegerField()
    failureRate = serializers.FloatField(allow_null=True)
    waitP50Ms = serializers.IntegerField(allow_null=True)
    waitP95Ms = serializers.IntegerField(allow_null=True)
    durationP50Ms = serializers.IntegerField(allow_null=True)
    durationP95Ms = serializers.IntegerField(allow_null=True)


class FailingStepSerializer(serializers.Serializer[Any]):
    tool = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    code = serializers.CharField(allow_blank=True)
    number = serializers.IntegerField()
    lastAt = Time()


class DashboardSerializer(serializers.Serializer[Any]):
    """The answer, for the OpenAPI document."""

    buckets = DashboardBucketSerializer(many=True)
    byType = TypeFiguresSerializer(many=True)
    byModel = LabelUsageSerializer(many=True)
    byMode = LabelUsageSerializer(many=True)
    byProject = LabelUsageSerializer(many=True)
    byUser = LabelUsageSerializer(many=True)
    failingSteps = FailingStepSerializer(many=True)
    queue = QueueSerializer()
    workers = WorkersSerializer()


@api_view(READING)
def metrics_of_jobs(request: Request) -> HttpResponseBase:
    query = read_query(MetricsQuery, request)
    return Response(job_metrics(request.user, query, query["period"]))


@api_view(READING)
def dashboard_figures(request: Request) -> HttpResponseBase:
    query = read_query(MetricsQuery, request)
    return Response(dashboard_json(dashboard(request.user, query, query["period"])))
