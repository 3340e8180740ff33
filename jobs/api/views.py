"""The jobs API. The contract of each address is its serializer and the verb that it calls."""

from http import HTTPStatus
from typing import Any, cast

from django.contrib.auth.models import User
from django.http.response import HttpResponseBase
from django.urls import reverse
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotFound
from rest_framework.request import Request, is_form_media_type
from rest_framework.response import Response

from aiworkstation.audit.models import AuditEvent
from aiworkstation.web.conditional import conditional
from aiworkstation.web.errors import Conflict
from aiworkstation.web.paging import PageQuery, decode, encode, page
from aiworkstation.web.requests import READING
from aiworkstation.web.serializers import Nothing, StrictSerializer
from jobs.api.serializers import (
    EventSerializer,
    JobDetailSerializer,
    JobSerializer,
    JobsQuery,
    StepSerializer,
    StepsQuery,
)
from jobs.displayed_job import describe, steps_of
from jobs.failures_csv import failures
from jobs.lookup import get_execution, list_executions
from jobs.start import start
from workflows import engine, tools
from workflows.models import Mode, WorkflowExecution
from workflows.tools import Tool


@api_view([*READING, "POST"])
def jobs(request: Request) -> HttpResponseBase:
    if request.method == "POST":
        return _start(request)
    query = _read(JobsQuery, request)
    if "job_id" in query:
        return _one(request, query)
    rows = list_executions(request.user, query)
    found = page(rows, ("-created_at", "-id"), limit=query["limit"], cursor=query["cursor"])
    listed = JobSerializer(describe(found.rows), many=True).data
    state = [(_stored(item), row.changed_at) for item, row in zip(listed, found.rows, strict=True)]
    return conditional(request, {"jobs": listed, "nextCursor": found.next_cursor}, [state, found.next_cursor])


@api_view(READING)
def job(request: Request, job_id: str) -> HttpResponseBase:
    _read(Nothing, request)
    return _answer(request, get_execution(request.user, job_id))


@api_view(READING)
def steps(request: Request, job_id: str) -> HttpResponseBase:
    execution = get_execution(request.user, job_id)
    query = _read(StepsQuery, request)
    found, cursor = steps_of(execution, statuses=query.get("status", ()), limit=query["limit"], cursor=query["cursor"])
    return conditional(request, {"steps": StepSerializer(found, many=True).data, "nextCursor": cursor})


@api_view(READING)
def events(request: Request, job_id: str) -> HttpResponseBase:
    execution = get_execution(request.user, job_id)
    query = _read(PageQuery, request)
    rows = AuditEvent.objects.filter(execution_id=execution.pk)
    found = page(rows, ("id",), limit=query["limit"], cursor=query["cursor"])
    listed = EventSerializer(found.rows, many=True).data
    return conditional(request, {"events": listed, "nextCursor": found.next_cursor})


@api_view(READING)
def failures_csv(request: Request, job_id: str) -> HttpResponseBase:
    execution = get_execution(request.user, job_id)
    _read(Nothing, request)
    return failures(execution, cast(User, request.user))


@api_view(["POST"])
def cancel(request: Request, job_id: str) -> HttpResponseBase:
    execution = get_execution(request.user, job_id)
    _expect_no_body(request)
    if not engine.cancel(execution.pk, actor=request.user.get_username()):
        raise Conflict("The job has ended: there is nothing to cancel.", code="wrong_state")
    return _accepted(execution)


@api_view(["POST"])
def retry(request: Request, job_id: str) -> HttpResponseBase:
    execution = get_execution(request.user, job_id)
    _expect_no_body(request)
    if not engine.retry(execution.pk, actor=request.user.get_username()):
        raise Conflict("Only a job that failed or was cancelled can be retried.", code="wrong_state")
    return _accepted(execution)


@api_view(READING)
def list_tools(request: Request) -> HttpResponseBase:
    query = _read(PageQuery, request)
    found, cursor = _tools(query["limit"], query["cursor"])
    listed = [
        {
            "tool": tool.slug,
            "description": tool.description,
            "arguments": tool.Arguments.model_json_schema(by_alias=True),
        }
        for tool in found
    ]
    return conditional(request, {"tools": listed, "nextCursor": cursor})


def _tools(limit: int, cursor: str) -> tuple[list[Tool], str | None]:
    """A page of the tools, by their slugs, and the cursor behind it."""
    salt = "cursor:tools"
    last = decode(cursor, salt)[0] if cursor else ""
    left = [tool for tool in tools.all_tools() if tool.slug > last]
    return left[:limit], encode([left[limit - 1].slug], salt) if len(left) > limit else None


@api_view(READING)
def list_modes(request: Request) -> HttpResponseBase:
    query = _read(PageQuery, request)
    found = page(Mode.objects.all(), ("name",), limit=query["limit"], cursor=query["cursor"])
    slugs = [tool.slug for tool in tools.all_tools()]
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


def _expect_no_body(request: Request) -> None:
    """The address says all. Clients that send an empty form instead of nothing are many: it is not read."""
    if not is_form_media_type(request.content_type):
        Nothing(data=request.data).is_valid(raise_exception=True)


def _start(request: Request) -> Response:
    key = request.headers.get("Idempotency-Key")
    execution, is_new = start(cast(User, request.user), request.data, idempotency_key=key)
    url = reverse("jobs:api_job", args=[execution.pk])
    body = {
        "jobId": str(execution.pk),
        "jobType": execution.job_type,
        "status": execution.status,
        "url": url,
        "panelUrl": f"/jobs/{execution.pk}",
    }
    status = HTTPStatus.ACCEPTED if is_new else HTTPStatus.OK
    return Response(body, status=status, headers={"Location": url})


def _one(request: Request, query: dict[str, Any]) -> HttpResponseBase:
    """`?type=workflow&jobId=…`: the job, where it is of that type."""
    execution = get_execution(request.user, query["job_id"])
    if query.get("type", execution.job_type) != execution.job_type:
        raise NotFound(f"The job is of type {execution.job_type}.")
    return _answer(request, execution)


def _answer(request: Request, execution: WorkflowExecution) -> HttpResponseBase:
    body = detail(execution)
    return conditional(request, body, [_stored(body), execution.changed_at])


def _accepted(execution: WorkflowExecution) -> Response:
    execution.refresh_from_db()
    return Response(detail(execution), status=HTTPStatus.ACCEPTED)


def detail(execution: WorkflowExecution) -> dict[str, Any]:
    """The wire's job, with its first steps."""
    found, cursor = steps_of(execution)
    return {
        **JobDetailSerializer(describe([execution])[0]).data,
        "steps": StepSerializer(found, many=True).data,
        "stepsNextCursor": cursor,
    }


def _stored(job: dict[str, Any]) -> dict[str, Any]:
    """Without what changes by itself: clocks, and places in a queue."""
    return {name: value for name, value in job.items() if name != "waitingFor"}


def _read(query: type[StrictSerializer], request: Request) -> dict[str, Any]:
    serializer = query(data=request.query_params)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
