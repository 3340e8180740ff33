"""The jobs API. The contract of each address is its serializer and the engine's verb that it calls."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

from django.contrib.auth.models import User
from django.http.response import HttpResponseBase
from django.urls import reverse
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from aiworkstation.audit.models import AuditEvent
from aiworkstation.web.conditional import conditional
from aiworkstation.web.errors import Conflict
from aiworkstation.web.paging import PageQuery, decode, encode, page
from aiworkstation.web.requests import READING
from aiworkstation.web.serializers import NoParameters, StrictSerializer, read_body, read_optional_body, read_query
from jobs import steer
from jobs.api.serializers import (
    AttemptSerializer,
    EventSerializer,
    JobSerializer,
    JobsQuery,
    RerunQuery,
    StepSerializer,
    StepsQuery,
)
from jobs.api.whole_json import whole_json
from jobs.approvals import ApprovalBody, Decision, RejectionBody, answer_step, get_step_to_answer
from jobs.attempts import attempts_of
from jobs.bulk_actions import BulkRequest, count_by_status, selected_jobs, start_bulk_action
from jobs.display import STEPS_SHOWN, describe_events, describe_jobs, describe_steps, last_steps
from jobs.failures_csv import failures
from jobs.large_json import MAX_OUTPUT
from jobs.lookup import NEWEST_FIRST, find_step, get_execution, list_executions
from jobs.rerun import RerunRequest, plan_rerun, start_rerun
from jobs.start import start
from workflows import engine, tools
from workflows.models import Mode, WorkflowExecution, WorkflowStep
from workflows.tools import Tool


@api_view([*READING, "POST"])
def jobs(request: Request) -> HttpResponseBase:
    if request.method == "POST":
        return _start(request)
    query = read_query(JobsQuery, request)
    if "job_id" in query:
        return _job_by_id(request, query)
    rows = list_executions(request.user, query)
    found = page(rows, NEWEST_FIRST, limit=query["limit"], cursor=query["cursor"])
    listed = JobSerializer(describe_jobs(found.rows), many=True).data
    state = [(_stored_state(item), row.changed_at) for item, row in zip(listed, found.rows, strict=True)]
    return conditional(request, {"jobs": listed, "nextCursor": found.next_cursor}, [state, found.next_cursor])


@api_view([*READING, "DELETE"])
def job(request: Request, job_id: str) -> HttpResponseBase:
    execution = get_execution(request.user, job_id)
    read_query(NoParameters, request)
    if request.method != "DELETE":
        return _job_answer(request, execution)
    if not engine.delete(execution.pk, actor=request.user.get_username()):
        raise Conflict("Only a finished job can be deleted. Cancel it first.", code="wrong_state")
    return Response(status=HTTPStatus.NO_CONTENT)


@api_view(READING)
def steps(request: Request, job_id: str) -> HttpResponseBase:
    execution = get_execution(request.user, job_id)
    query = read_query(StepsQuery, request)
    rows = WorkflowStep.objects.filter(execution=execution).defer("output")
    if "status" in query:
        rows = rows.filter(status__in=query["status"])
    found = page(rows, ("index",), limit=query["limit"], cursor=query["cursor"])
    listed = StepSerializer(describe_steps(found.rows, with_names=True, with_outputs=True), many=True).data
    return conditional(request, {"steps": listed, "nextCursor": found.next_cursor})


@api_view(READING)
def step(request: Request, job_id: str, step_id: str) -> HttpResponseBase:
    row = find_step(get_execution(request.user, job_id), step_id, None)
    read_query(NoParameters, request)
    attempts = AttemptSerializer(attempts_of(row), many=True).data
    return conditional(request, {**step_json(row), "attempts": attempts})


@api_view(READING)
def job_payload(request: Request, job_id: str) -> HttpResponseBase:
    execution = get_execution(request.user, job_id)
    read_query(NoParameters, request)
    return whole_json(request, WorkflowExecution, "payload", execution.pk, [])


@api_view(READING)
def job_output(request: Request, job_id: str) -> HttpResponseBase:
    execution = get_execution(request.user, job_id)
    read_query(NoParameters, request)
    last = last_steps([execution]).get(execution.pk)
    return whole_json(request, WorkflowStep, "output", last, [execution.changed_at])


@api_view(READING)
def step_output(request: Request, job_id: str, step_id: str) -> HttpResponseBase:
    row = find_step(get_execution(request.user, job_id), step_id, None)
    read_query(NoParameters, request)
    return whole_json(request, WorkflowStep, "output", row.pk, [row.attempt, row.status, row.finished_at])


@api_view(READING)
def step_arguments(request: Request, job_id: str, step_id: str) -> HttpResponseBase:
    row = find_step(get_execution(request.user, job_id), step_id, None)
    read_query(NoParameters, request)
    return whole_json(request, WorkflowStep, "arguments", row.pk, [row.attempt, row.status])


@api_view(READING)
def events(request: Request, job_id: str) -> HttpResponseBase:
    execution = get_execution(request.user, job_id)
    query = read_query(PageQuery, request)
    rows = AuditEvent.objects.filter(execution_id=execution.pk)
    found = page(rows, ("id",), limit=query["limit"], cursor=query["cursor"])
    listed = EventSerializer(describe_events(found.rows), many=True).data
    return conditional(request, {"events": listed, "nextCursor": found.next_cursor})


@api_view(READING)
def failures_csv(request: Request, job_id: str) -> HttpResponseBase:
    execution = get_execution(request.user, job_id)
    read_query(NoParameters, request)
    return failures(execution, cast(User, request.user))


@api_view(["POST"])
def cancel(request: Request, job_id: str) -> HttpResponseBase:
    return _steer(request, get_execution(request.user, job_id), steer.cancel)


@api_view(["POST"])
def retry(request: Request, job_id: str) -> HttpResponseBase:
    return _steer(request, get_execution(request.user, job_id), steer.retry)


@api_view(["POST"])
def retry_step(request: Request, job_id: str, step_id: str) -> HttpResponseBase:
    execution = get_execution(request.user, job_id)
    row = find_step(execution, step_id, None)
    return _steer(request, execution, lambda user, job: steer.retry_step(user, job, row))


@api_view(["POST"])
def approve(request: Request, job_id: str, step_id: str) -> HttpResponseBase:
    return _answer_approval(request, job_id, step_id, "approved", ApprovalBody)


@api_view(["POST"])
def reject(request: Request, job_id: str, step_id: str) -> HttpResponseBase:
    return _answer_approval(request, job_id, step_id, "rejected", RejectionBody)


@api_view(["POST"])
def rerun(request: Request, job_id: str) -> HttpResponseBase:
    execution = get_execution(request.user, job_id)
    query = read_query(RerunQuery, request)
    plan = plan_rerun(execution, read_optional_body(RerunRequest, request))
    if query["dry_run"]:
        return Response({"reused": plan.reused})
    new = get_execution(request.user, start_rerun(plan, actor=request.user.get_username()))
    addresses = _addresses(new)
    body = {**job_with_steps(new), **addresses}
    return Response(body, status=HTTPStatus.ACCEPTED, headers={"Location": addresses["url"]})


@api_view(["POST"])
def bulk(request: Request) -> HttpResponseBase:
    user = cast(User, request.user)
    value = read_body(BulkRequest, request)
    jobs = selected_jobs(user, value)
    if value["dry_run"]:
        return Response(count_by_status(jobs))
    return started(start_bulk_action(user, value, jobs, cast(dict[str, Any], request.data)), is_new=True)


@api_view(READING)
def list_tools(request: Request) -> HttpResponseBase:
    query = read_query(PageQuery, request)
    return conditional(request, tools_json(query["limit"], query["cursor"]))


def tools_json(limit: int, cursor: str) -> dict[str, Any]:
    """Returns a page of the tools that a step can name."""
    found, next_cursor = _tools_page(limit, cursor)
    listed = [
        {
            "tool": tool.slug,
            "description": tool.description,
            "arguments": tool.Arguments.model_json_schema(by_alias=True),
        }
        for tool in found
    ]
    return {"tools": listed, "nextCursor": next_cursor}


def _tools_page(limit: int, cursor: str) -> tuple[list[Tool], str | None]:
    """Returns a page of the tools, sorted by slug, and the cursor of the next page."""
    salt = "cursor:tools"
    last = decode(cursor, salt)[0] if cursor else ""
    left = [tool for tool in tools.offered_tools() if tool.slug > last]
    return left[:limit], encode([left[limit - 1].slug], salt) if len(left) > limit else None


@api_view(READING)
def list_modes(request: Request) -> HttpResponseBase:
    query = read_query(PageQuery, request)
    found = page(Mode.objects.usable_by(request.user), ("name",), limit=query["limit"], cursor=query["cursor"])
    slugs = [tool.slug for tool in tools.offered_tools()]
    listed = [
        {
            "mode": mode.name,
            "prompt": mode.prompt,
            "defaultModel": mode.default_model or None,
            "tools": [slug for slug in slugs if mode.allows(slug)],
        }
        for mode in found.rows
    ]
    return conditional(request, {"modes": listed, "nextCursor": found.next_cursor})


def _start(request: Request) -> Response:
    key = request.headers.get("Idempotency-Key")
    execution, is_new = start(cast(User, request.user), request.data, idempotency_key=key)
    return started(execution, is_new=is_new)


def started(execution: WorkflowExecution, *, is_new: bool) -> Response:
    """The answer to a request that starts a job: 200 if its idempotency key was used before."""
    status = HTTPStatus.ACCEPTED if is_new else HTTPStatus.OK
    body = started_json(execution)
    return Response(body, status=status, headers={"Location": body["url"]})


def started_json(execution: WorkflowExecution) -> dict[str, str]:
    return {
        "jobId": str(execution.pk),
        "jobType": execution.job_type,
        "status": execution.status,
        **_addresses(execution),
    }


def _addresses(execution: WorkflowExecution) -> dict[str, str]:
    return {
        "url": reverse("jobs:api_job", args=[execution.pk]),
        "panelUrl": reverse("jobs:job", args=[execution.pk]),
    }


def _job_by_id(request: Request, query: dict[str, Any]) -> HttpResponseBase:
    """Answers `?type=workflow&jobId=…`. A job of another type is a 404."""
    execution = get_execution(request.user, query["job_id"])
    if query.get("type", execution.job_type) != execution.job_type:
        raise NotFound(f"The job is of type {execution.job_type}.")
    return _job_answer(request, execution)


def _job_answer(request: Request, execution: WorkflowExecution) -> HttpResponseBase:
    body = job_with_steps(execution)
    return conditional(request, body, [_stored_state(body), execution.changed_at])


def _steer(request: Request, execution: WorkflowExecution, verb: Callable[[User, WorkflowExecution], None]) -> Response:
    read_optional_body(NoParameters, request)
    verb(cast(User, request.user), execution)
    return Response(job_with_steps(execution), status=HTTPStatus.ACCEPTED)


def _answer_approval(
    request: Request, job_id: str, step_id: str, answer: Decision, body: type[StrictSerializer]
) -> Response:
    user = cast(User, request.user)
    step = get_step_to_answer(user, job_id, step_id)
    answer_step(step, user, answer, read_optional_body(body, request))
    step.refresh_from_db()
    if WorkflowExecution.objects.visible_to(user).filter(pk=step.execution_id).exists():
        return Response(step_json(step), status=HTTPStatus.ACCEPTED)
    # A member of the group sees the question, but not the job.
    return Response(question_json(step), status=HTTPStatus.ACCEPTED)


def job_with_steps(execution: WorkflowExecution) -> dict[str, Any]:
    """Returns the JSON of a job with its first steps."""
    (found,) = describe_jobs([execution], max_output=MAX_OUTPUT)
    first = page(WorkflowStep.objects.filter(execution=execution).defer("output"), ("index",), limit=STEPS_SHOWN)
    return {
        **JobSerializer(found).data,
        "payload": execution.payload,
        "steps": StepSerializer(describe_steps(first.rows, with_names=True, with_outputs=True), many=True).data,
        "stepsNextCursor": first.next_cursor,
    }


def step_json(row: WorkflowStep) -> dict[str, Any]:
    """Returns the JSON of a step whose row defers its output."""
    (found,) = describe_steps([row], with_names=True, with_outputs=True)
    return dict(StepSerializer(found).data)


def question_json(row: WorkflowStep) -> dict[str, Any]:
    """Returns the part of a step for a user who may answer its question but not see its job."""
    shown = ("stepId", "name", "status", "approval")
    return {name: value for name, value in step_json(row).items() if name in shown}


def _stored_state(job: dict[str, Any]) -> dict[str, Any]:
    """Leaves out `waitingFor`, which changes by itself: it depends on the clock and on other jobs."""
    return {name: value for name, value in job.items() if name != "waitingFor"}
