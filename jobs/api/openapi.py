"""The jobs API in the OpenAPI document: see `aiworkstation.web.openapi`."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from aiworkstation.web.openapi import (
    Operation,
    answer_example,
    describe,
    describe_field,
    example,
    list_of,
    one_of,
    reads,
)
from aiworkstation.web.paging import PageQuery
from aiworkstation.web.serializers import JsonObject, NoParameters
from jobs.api import callbacks, metrics, saved_workflows, schedules, views
from jobs.api.serializers import (
    ApprovalSerializer,
    AttemptSerializer,
    ErrorJson,
    EventSerializer,
    JobSerializer,
    JobsQuery,
    RerunQuery,
    StepSerializer,
    StepsQuery,
    UsageJson,
)
from jobs.approvals import ApprovalBody, RejectionBody
from jobs.bulk_actions import BulkRequest
from jobs.job_type import find_job_type, job_type_names
from jobs.rerun import FromStepField, RerunRequest
from jobs.saved_workflows import ChangeRequest, RunRequest, SaveRequest, WorkflowName
from jobs.schedules import CronField, ScheduleOptions, ScheduleRequest, TimeZoneField
from jobs.start import JobRequest, JobTypeField
from jobs.types.workflow import WorkflowPayload
from workflows.models import ExecutionStatus, StepStatus

WRONG_STATE = {409: "`wrong_state`: the job is not in a state that allows this."}

describe_field(JobTypeField, {"type": "string", "minLength": 1})
describe_field(WorkflowName, {"type": "string", "pattern": "^[a-z0-9-]{1,64}$"})
describe_field(CronField, {"type": "string", "minLength": 1, "maxLength": 100})
describe_field(TimeZoneField, {"type": "string", "minLength": 1, "maxLength": 64})
describe_field(FromStepField, {"type": ["string", "integer"]})
describe_field(ErrorJson, {
    "oneOf": [
        {
            "type": "object",
            "properties": {
                "code": {"type": "string"}, "message": {"type": "string"}, "retryable": {"type": "boolean"}
            },
            "required": ["code", "message"],
        },
        {"type": "null"},
    ]
})  # fmt: skip
describe_field(UsageJson, {
    "oneOf": [
        {
            "type": "object",
            "properties": {
                "steps": {"type": "integer"},
                "inputTokens": {"type": "integer"},
                "outputTokens": {"type": "integer"},
                "costUsd": {"type": ["string", "null"]},
            },
            "required": ["inputTokens", "outputTokens", "costUsd"],
        },
        {"type": "null"},
    ]
})  # fmt: skip
describe_field(callbacks.ErrorField, {"oneOf": [{"type": "string", "minLength": 1}, {"type": "object"}]})


class Reused(serializers.Serializer[Any]):
    """What a rerun has taken over."""

    steps = serializers.IntegerField()
    inputTokens = serializers.IntegerField()
    outputTokens = serializers.IntegerField()
    costUsd = serializers.CharField(allow_null=True)


class Started(serializers.Serializer[Any]):
    jobId = serializers.CharField()
    jobType = serializers.CharField()
    status = serializers.ChoiceField(ExecutionStatus.values)
    url = serializers.CharField()
    panelUrl = serializers.CharField()


class JobWithSteps(JobSerializer):
    """A job with its payload and its first 100 steps."""

    payload = JsonObject()
    steps = StepSerializer(many=True)
    stepsNextCursor = serializers.CharField(allow_null=True)


class Rerun(JobWithSteps):
    """The new job."""

    url = serializers.CharField()
    panelUrl = serializers.CharField()


class Question(serializers.Serializer[Any]):
    """A step, for a user who may answer its question but not see its job."""

    stepId = serializers.CharField()
    name = serializers.CharField()
    status = serializers.ChoiceField(StepStatus.values)
    approval = ApprovalSerializer()


class DryRerun(serializers.Serializer[Any]):
    reused = Reused()


class StepWithAttempts(StepSerializer):
    attempts = AttemptSerializer(many=True)


class DryBulk(serializers.Serializer[Any]):
    matches = serializers.IntegerField()
    byStatus = serializers.DictField(child=serializers.IntegerField())


class ToolItem(serializers.Serializer[Any]):
    tool = serializers.CharField()
    description = serializers.CharField()
    arguments = JsonObject(help_text="The JSON Schema of the tool's arguments.")


class ModeItem(serializers.Serializer[Any]):
    mode = serializers.CharField()
    prompt = serializers.CharField()
    defaultModel = serializers.CharField(allow_null=True)
    tools = serializers.ListField(child=serializers.CharField())


class JobState(serializers.Serializer[Any]):
    """The answer to a callback that names no step of its sender."""

    jobId = serializers.CharField()
    status = serializers.ChoiceField(ExecutionStatus.values)
    isFinished = serializers.BooleanField()
    error = ErrorJson()


class Duplicate(serializers.Serializer[Any]):
    duplicate = serializers.BooleanField()


def job_requests() -> Any:
    """The body of a new job: an alternative for each job type, because the payload depends on the type."""
    alternatives = []
    for name in job_type_names():
        job_type = find_job_type(name)
        assert job_type is not None
        fields = {"jobType": serializers.ChoiceField([name]), "payload": job_type.Payload()}
        title = "".join(part.title() for part in name.split("-"))
        alternatives.append(type(f"New{title}Job", (JobRequest,), fields))
    return one_of("NewJob", alternatives)


THREE_BODIES = [
    example(
        "A workflow",
        {
            "jobType": "workflow",
            "payload": {
                "workflowName": "Process Sales Data",
                "workflowDescription": "Analyze and process sales data",
                "steps": [
                    {"name": "Fetch Data", "description": "Get data from HubSpot", "tool": "HUBSPOT_GET_CONTACTS"},
                    {"name": "Analyze", "description": "Analyze the data"},
                    {"name": "Report", "description": "Generate report"},
                ],
                "mode": "Sales",
                "modelId": "gpt-4o",
            },
        },
    ),
    example(
        "Bulk ingestion",
        {
            "jobType": "bulk-documents",
            "payload": {
                "documents": [
                    {"id": "doc1", "filename": "report.pdf", "fileType": "pdf", "fileSize": 1024000},
                    {"id": "doc2", "filename": "contract.docx", "fileType": "docx", "fileSize": 512000},
                ],
                "projectId": "project-123",
                "tags": ["important", "legal"],
                "mode": "Admin",
            },
        },
    ),
    example(
        "Reprocessing",
        {
            "jobType": "document-reprocess",
            "payload": {
                "documentIds": ["doc1", "doc2", "doc3"],
                "newChunkSize": 500,
                "newOverlap": 100,
                "mode": "Sales",
            },
        },
    ),
]
JOB_ID = "0197a1b2-0000-7000-8000-000000000001"
STARTED = {
    "jobId": JOB_ID,
    "jobType": "workflow",
    "status": "queued",
    "url": f"/api/jobs/{JOB_ID}",
    "panelUrl": f"/jobs/{JOB_ID}",
}
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255},
    OpenApiParameter.HEADER,
    description="The same key with the same body within 24 hours returns the first job. It may also be in the body.",
)


describe(views.jobs, "GET", Operation(
    "listJobs",
    "List jobs",
    "The caller's unfinished jobs by default, newest first. With `jobId`, the answer is that job.",
    query=JobsQuery,
    answers={200: one_of("JobsOrJob", [list_of("jobs", JobSerializer(many=True)), JobWithSteps])},
    is_conditional=True,
    errors={404: "`not_found`: with `jobId`, there is no such job."},
))  # fmt: skip
describe(views.jobs, "POST", Operation(
    "startJob",
    "Start a job",
    body=job_requests,
    answers={202: Started, 200: Started},
    errors={409: "`idempotency_key_reused`: the key was used with another body."},
    headers=[IDEMPOTENCY_KEY],
    examples=[*THREE_BODIES, answer_example("Started", STARTED, 202)],
))  # fmt: skip
describe(views.job, "GET", reads("getJob", "Read a job with its first steps", JobWithSteps))
describe(views.job, "DELETE", Operation(
    "deleteJob", "Delete a finished job", "Its audit events stay.", query=NoParameters, answers={204: None},
    errors=WRONG_STATE,
))  # fmt: skip
describe(
    views.steps,
    "GET",
    reads("listSteps", "List steps", list_of("steps", StepSerializer(many=True)), query=StepsQuery),
)
describe(views.step, "GET", reads("getStep", "Read a step with its attempts", StepWithAttempts))
describe(views.job_payload, "GET", reads("getPayload", "Read a payload of any size", OpenApiTypes.ANY))
describe(views.job_output, "GET", reads("getOutput", "Read an output of any size", OpenApiTypes.ANY))
describe(views.step_output, "GET", reads("getStepOutput", "Read a step's output of any size", OpenApiTypes.ANY))
describe(views.step_arguments, "GET", reads("getStepArguments", "Read arguments of any size", OpenApiTypes.ANY))
describe(
    views.events,
    "GET",
    reads("listEvents", "List audit events", list_of("events", EventSerializer(many=True)), query=PageQuery),
)
describe(views.failures_csv, "GET", Operation(
    "getFailures", "Read the failed steps as CSV", query=NoParameters, answers={(200, "text/csv"): OpenApiTypes.STR},
))  # fmt: skip
for _view, _id, _summary in (
    (views.cancel, "cancelJob", "Cancel a job"),
    (views.retry, "retryJob", "Retry what failed, was skipped or was cancelled"),
    (views.retry_step, "retryStep", "Retry a step of a finished job"),
):
    describe(_view, "POST", Operation(
        _id, _summary, body=NoParameters, is_body_required=False, answers={202: JobWithSteps}, errors=WRONG_STATE,
        examples=[example("Nothing", {})],
    ))  # fmt: skip
describe(views.rerun, "POST", Operation(
    "rerunJob",
    "Run a finished job again",
    query=RerunQuery,
    body=RerunRequest,
    is_body_required=False,
    answers={202: Rerun, 200: DryRerun},
    errors={409: "`wrong_state`: the job is not finished."},
    examples=[example("From a step", {"fromStep": "Analyze"})],
))  # fmt: skip
describe(views.bulk, "POST", Operation(
    "bulkAction",
    "Act on many jobs",
    body=BulkRequest,
    answers={202: Started, 200: DryBulk},
    examples=[
        example("Count them first", {"action": "retry", "filter": {"status": ["failed"]}, "dryRun": True}),
        example("Cancel two", {"action": "cancel", "jobIds": [JOB_ID]}),
    ],
))  # fmt: skip
describe(
    views.list_tools,
    "GET",
    reads("listTools", "List tools", list_of("tools", ToolItem(many=True)), query=PageQuery),
)
describe(
    views.list_modes,
    "GET",
    reads("listModes", "List modes", list_of("modes", ModeItem(many=True)), query=PageQuery),
)

for _view, _id, _summary, _body in (
    (views.approve, "approveStep", "Approve what a step asks", ApprovalBody),
    (views.reject, "rejectStep", "Reject what a step asks", RejectionBody),
):
    describe(_view, "POST", Operation(
        _id, _summary, body=_body, is_body_required=False,
        answers={202: one_of("StepOrQuestion", [StepSerializer, Question])},
        errors={409: "`wrong_state`: the step waits for no answer."},
        examples=[example("With a comment", {"comment": "Seen by two."})],
    ))  # fmt: skip

WORKFLOW = {
    "name": "weekly-report",
    "payload": {"workflowName": "Weekly report", "steps": [{"name": "Report", "description": "Write the report"}]},
}
AMBIGUOUS = {409: "`ambiguous`: several users have a workflow of this name. Add `owner`."}
CHANGED = {
    409: AMBIGUOUS[409] + " `wrong_version`: another version is the newest.",
    412: "`precondition_failed`: it was changed since the answer with the ETag in `If-Match`.",
}
IF_MATCH = OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, description="The ETag that you know.")
describe(
    saved_workflows.workflows,
    "GET",
    reads(
        "listWorkflows",
        "List saved workflows",
        list_of("workflows", saved_workflows.WorkflowSerializer(many=True)),
        query=saved_workflows.WorkflowsQuery,
    ),
)
describe(saved_workflows.workflows, "POST", Operation(
    "saveWorkflow",
    "Save a workflow",
    body=type("SaveWorkflow", (SaveRequest,), {"payload": WorkflowPayload()}),
    answers={201: saved_workflows.WorkflowSerializer},
    errors={409: "`name_taken`: you have a workflow with this name."},
    examples=[example("A workflow", WORKFLOW)],
))  # fmt: skip
describe(saved_workflows.workflow, "GET", reads(
    "getWorkflow", "Read a saved workflow", saved_workflows.WorkflowSerializer, query=saved_workflows.OwnerQuery,
    errors=AMBIGUOUS,
))  # fmt: skip
describe(saved_workflows.workflow, "PUT", Operation(
    "changeWorkflow",
    "Change a saved workflow",
    query=saved_workflows.OwnerQuery,
    body=type("ChangeWorkflow", (ChangeRequest,), {"payload": WorkflowPayload(required=False)}),
    answers={200: saved_workflows.WorkflowSerializer},
    errors=CHANGED,
    headers=[IF_MATCH],
    examples=[example("Share it", {"isShared": True})],
))  # fmt: skip
describe(saved_workflows.workflow, "DELETE", Operation(
    "deleteWorkflow",
    "Delete a saved workflow",
    query=saved_workflows.OwnerQuery,
    answers={204: None},
    errors=CHANGED,
    headers=[IF_MATCH],
))  # fmt: skip
describe(saved_workflows.versions, "GET", reads(
    "listVersions",
    "List the versions of a saved workflow",
    list_of("versions", saved_workflows.VersionSerializer(many=True)),
    query=saved_workflows.VersionsQuery,
    errors=AMBIGUOUS,
))  # fmt: skip
describe(saved_workflows.runs, "POST", Operation(
    "runWorkflow",
    "Run a saved workflow",
    query=saved_workflows.OwnerQuery,
    body=RunRequest,
    is_body_required=False,
    answers={202: Started, 200: Started},
    errors={409: f"{AMBIGUOUS[409]} `idempotency_key_reused`: the key was used with another body."},
    headers=[IDEMPOTENCY_KEY],
    examples=[example("With high priority", {"priority": "high"})],
))  # fmt: skip

describe(schedules.schedules, "GET", reads(
    "listSchedules", "List schedules", list_of("schedules", schedules.ScheduleSerializer(many=True)),
    query=schedules.SchedulesQuery,
))  # fmt: skip
describe(schedules.schedules, "POST", Operation(
    "createSchedule",
    "Create a schedule",
    "Send either `cron` or `everySeconds`.",
    body=ScheduleRequest,
    answers={201: schedules.ScheduleSerializer},
    errors=AMBIGUOUS,
    examples=[example("On Mondays", {
        "workflow": "weekly-report", "cron": "0 9 * * mon", "timezone": "Europe/Berlin"
    })],
))  # fmt: skip
describe(schedules.schedule, "GET", reads("getSchedule", "Read a schedule", schedules.ScheduleSerializer))
describe(schedules.schedule, "PATCH", Operation(
    "changeSchedule",
    "Change a schedule",
    body=ScheduleOptions,
    answers={200: schedules.ScheduleSerializer},
    examples=[example("Pause it", {"isPaused": True})],
))  # fmt: skip
describe(schedules.schedule, "DELETE", Operation("deleteSchedule", "Delete a schedule", answers={204: None}))
describe(schedules.run, "POST", Operation(
    "runSchedule",
    "Run the workflow of a schedule now",
    body=NoParameters,
    is_body_required=False,
    answers={202: Started},
    examples=[example("No parameters", {})],
))  # fmt: skip
describe(metrics.metrics_of_jobs, "GET", Operation(
    "jobMetrics",
    "Figures of jobs over time",
    "The default period is the last 24 hours. A bucket counts the jobs that started in it, and those that ended in it.",
    query=metrics.MetricsQuery,
    answers={200: metrics.JobMetricsSerializer},
))  # fmt: skip
describe(metrics.dashboard_figures, "GET", Operation(
    "dashboard",
    "The figures of the dashboard",
    "The parameters are those of `GET /api/metrics/jobs`. `failingSteps` are those of the last day.",
    query=metrics.MetricsQuery,
    answers={200: metrics.DashboardSerializer},
))  # fmt: skip

_SIGNED = [
    OpenApiParameter(name, str, OpenApiParameter.HEADER, required=True)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
]
_CALLBACK_ERRORS = {
    401: "`bad_signature`: the signature or its timestamp is not valid.",
    409: "`wrong_state`: the step or the job does not wait for this.",
    404: "`not_found`: there is no such job or step.",
}
describe(callbacks.update_step, "POST", Operation(
    "updateStep",
    "Report progress or the result of a step",
    "For outside workers. See `docs/outside-workers.md`.",
    body=callbacks.StepUpdate,
    answers={200: one_of("StepOrDuplicate", [StepSerializer, Duplicate])},
    errors=_CALLBACK_ERRORS,
    headers=_SIGNED,
    is_signed=True,
    examples=[
        example("Progress", {"executionId": JOB_ID, "stepIndex": 0, "status": "running", "progress": 50}),
        example("Done", {"executionId": JOB_ID, "stepIndex": 0, "status": "completed", "output": {"rows": 3}}),
    ],
))  # fmt: skip
describe(callbacks.update_execution, "POST", Operation(
    "updateExecution",
    "End a job",
    "For outside workers. See `docs/outside-workers.md`.",
    body=callbacks.ExecutionUpdate,
    answers={200: one_of("StepOrJobStateOrDuplicate", [StepSerializer, JobState, Duplicate])},
    errors=_CALLBACK_ERRORS,
    headers=_SIGNED,
    is_signed=True,
    examples=[example("Failed", {"executionId": JOB_ID, "status": "failed", "error": "The source is gone."})],
))  # fmt: skip
