"""Jobs, steps and events as JSON, and the query strings of their lists."""

from typing import Any

from django.urls import reverse
from rest_framework import serializers

from aiworkstation.access.lookup import ALL
from aiworkstation.web.paging import FilterQuery, PageQuery
from aiworkstation.web.serializers import (
    MAX_CHOSEN,
    BoundedList,
    Choice,
    Json,
    NullIfEmpty,
    StrictSerializer,
    Time,
)
from jobs.display import Job, Step
from jobs.job_input import JobFilters
from jobs.large_json import LargeJson
from workflows.models import ExecutionStatus, Queue, StepStatus


class JobsQuery(FilterQuery, JobFilters):
    status = BoundedList(child=Choice([*ExecutionStatus.values, ALL]), max_length=MAX_CHOSEN, required=False)
    jobId = serializers.CharField(required=False, source="job_id")


class StepsQuery(PageQuery):
    status = BoundedList(child=Choice(StepStatus.values), max_length=MAX_CHOSEN, required=False)


class RerunQuery(StrictSerializer):
    dryRun = serializers.BooleanField(default=False, source="dry_run")


class ErrorJson(Json):
    """`{"code", "message", "retryable"}`, null without an error."""


class UsageJson(Json):
    """Model tokens and their cost, null without any."""


class ProgressSerializer(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    percent = serializers.IntegerField()
    message = serializers.CharField()


class UsageSerializer(serializers.Serializer[Any]):
    inputTokens = serializers.IntegerField(source="input_tokens")
    outputTokens = serializers.IntegerField(source="output_tokens")
    costUsd = serializers.CharField(source="cost", allow_null=True)


class JobSerializer(serializers.Serializer[Any]):
    """A `jobs.display.Job` in a list."""

    jobId = serializers.CharField(source="id")
    jobType = serializers.CharField(source="job_type")
    name = serializers.CharField()
    description = serializers.CharField()
    owner = serializers.CharField()
    status = serializers.ChoiceField(ExecutionStatus.values)
    waitingFor = NullIfEmpty(source="waiting_for")
    mode = serializers.CharField()
    modelId = NullIfEmpty(source="model_id")
    projectId = NullIfEmpty(source="project_id")
    tags = serializers.ListField(child=serializers.CharField())
    priority = serializers.ChoiceField(Queue.values, source="queue")
    progress = ProgressSerializer()
    output = serializers.SerializerMethodField()
    error = ErrorJson()
    usage = UsageSerializer()
    rerunOf = serializers.CharField(source="rerun_of", allow_null=True)
    reused = UsageJson()
    workflow = NullIfEmpty(source="workflow_name")
    workflowVersion = serializers.IntegerField(source="workflow_version", allow_null=True)
    isFinished = serializers.BooleanField(source="is_finished")
    createdAt = Time(source="created_at")
    startedAt = Time(source="started_at", allow_null=True)
    finishedAt = Time(source="finished_at", allow_null=True)
    durationMs = serializers.IntegerField(source="duration_ms", allow_null=True)

    def get_output(self, job: Job) -> Any:
        return _output(job.output, reverse("jobs:api_job_output", args=[job.id]))


class ApprovalSerializer(serializers.Serializer[Any]):
    """A `jobs.display.StepApproval`."""

    question = serializers.CharField()
    arguments = Json()
    mayAnswer = serializers.ListField(child=serializers.CharField(), source="may_answer")
    until = Time(allow_null=True)
    answeredBy = NullIfEmpty(source="answered_by")
    answer = NullIfEmpty()
    comment = NullIfEmpty()


class StepSerializer(serializers.Serializer[Any]):
    """A `jobs.display.Step`."""

    stepId = serializers.CharField(source="id")
    index = serializers.IntegerField()
    name = serializers.CharField()
    description = serializers.CharField()
    tool = NullIfEmpty()
    dependsOn = serializers.ListField(child=serializers.CharField(), source="depends_on")
    status = serializers.ChoiceField(StepStatus.values)
    attempt = serializers.IntegerField()
    maxAttempts = serializers.IntegerField(source="max_attempts")
    progress = serializers.IntegerField()
    message = serializers.CharField()
    arguments = Json()
    model = NullIfEmpty()
    usage = UsageJson()
    output = serializers.SerializerMethodField()
    error = ErrorJson()
    startedAt = Time(source="started_at", allow_null=True)
    finishedAt = Time(source="finished_at", allow_null=True)
    durationMs = serializers.IntegerField(source="duration_ms", allow_null=True)
    nextAttemptAt = Time(source="next_attempt_at", allow_null=True)
    approval = ApprovalSerializer(allow_null=True)

    def get_output(self, step: Step) -> Any:
        return _output(step.output, reverse("jobs:api_step_output", args=[step.job_id, step.id]))


def _output(output: Any, url: str) -> Any:
    """A large output has its own address."""
    return {"tooLarge": True, "size": output.size, "url": url} if isinstance(output, LargeJson) else output


class AttemptSerializer(serializers.Serializer[Any]):
    """A `jobs.attempts.Attempt`."""

    attempt = serializers.IntegerField()
    status = serializers.ChoiceField(StepStatus.values)
    error = ErrorJson()
    startedAt = Time(source="started_at", allow_null=True)
    finishedAt = Time(source="finished_at", allow_null=True)
    worker = serializers.CharField()
    usage = UsageJson()


class EventSerializer(serializers.Serializer[Any]):
    """A `jobs.display.Event`."""

    id = serializers.CharField()
    at = Time()
    actor = serializers.CharField()
    action = serializers.CharField()
    object = serializers.CharField()
    changes = Json()
