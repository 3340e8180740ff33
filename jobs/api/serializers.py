"""The wire's jobs, steps and events."""

from typing import Any

from rest_framework import serializers

from aiworkstation.access.lookup import ALL
from aiworkstation.web.paging import PageQuery
from aiworkstation.web.serializers import Json, OrNull, Time
from workflows.models import ExecutionStatus, StepStatus


class JobsQuery(PageQuery):
    status = serializers.ListField(child=serializers.ChoiceField([*ExecutionStatus.values, ALL]), required=False)
    type = serializers.CharField(required=False)
    jobId = serializers.CharField(required=False, source="job_id")
    mode = serializers.CharField(required=False)
    projectId = serializers.CharField(required=False, source="project_id")
    tag = serializers.CharField(required=False)
    q = serializers.CharField(required=False)
    owner = serializers.CharField(required=False)


class StepsQuery(PageQuery):
    status = serializers.ListField(child=serializers.ChoiceField(StepStatus.choices), required=False)


class ProgressSerializer(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    percent = serializers.IntegerField()
    message = serializers.CharField()


class UsageSerializer(serializers.Serializer[Any]):
    inputTokens = serializers.IntegerField(source="input_tokens")
    outputTokens = serializers.IntegerField(source="output_tokens")
    costUsd = serializers.CharField(source="cost_text")


class JobSerializer(serializers.Serializer[Any]):
    """Of a `reading.Job`, as lists have it."""

    jobId = serializers.CharField(source="execution.id")
    jobType = serializers.CharField(source="execution.job_type")
    name = serializers.CharField(source="execution.name")
    description = serializers.CharField(source="execution.description")
    owner = serializers.CharField(source="execution.owner.username")
    status = serializers.CharField(source="execution.status")
    waitingFor = OrNull(source="waiting_for")
    mode = serializers.CharField(source="execution.mode")
    modelId = OrNull(source="execution.model_id")
    projectId = OrNull(source="execution.project_id")
    tags = Json(source="execution.tags")
    priority = serializers.CharField(source="execution.queue")
    progress = ProgressSerializer()
    output = Json()
    error = Json()
    usage = UsageSerializer()
    isFinished = serializers.BooleanField(source="execution.is_finished")
    createdAt = Time(source="execution.created_at")
    startedAt = Time(source="execution.started_at")
    finishedAt = Time(source="execution.finished_at")
    durationMs = serializers.IntegerField(source="duration")


class JobDetailSerializer(JobSerializer):
    payload = Json(source="execution.payload")


class StepSerializer(serializers.Serializer[Any]):
    """Of a `reading.Step`."""

    stepId = serializers.CharField(source="row.id")
    index = serializers.IntegerField(source="row.index")
    name = serializers.CharField(source="row.name")
    description = serializers.CharField(source="row.description")
    tool = OrNull(source="row.tool")
    dependsOn = Json(source="depends_on")
    status = serializers.CharField(source="row.status")
    attempt = serializers.IntegerField(source="row.attempt")
    maxAttempts = serializers.IntegerField(source="row.max_attempts")
    progress = serializers.IntegerField(source="row.progress")
    message = serializers.CharField(source="row.message")
    arguments = Json(source="row.arguments")
    model = OrNull(source="row.model")
    usage = Json(source="row.usage")
    output = Json(source="row.output")
    error = Json(source="row.error")
    startedAt = Time(source="row.started_at")
    finishedAt = Time(source="row.finished_at")
    durationMs = serializers.IntegerField(source="duration")
    nextAttemptAt = Time(source="next_attempt_at")


class EventSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    at = Time()
    actor = serializers.CharField()
    action = serializers.CharField()
    object = serializers.CharField()
    changes = Json()
