"""The API of schedules."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, cast

from django.contrib.auth.models import User
from django.http.response import HttpResponseBase
from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from aiworkstation.web.conditional import conditional, etag
from aiworkstation.web.paging import PageQuery, page
from aiworkstation.web.requests import READING
from aiworkstation.web.serializers import NoParameters, NullIfEmpty, Time, read_body, read_optional_body, read_query
from jobs.api.views import started
from jobs.lookup import NEWEST_FIRST
from jobs.models import WorkflowSchedule
from jobs.schedules import (
    ScheduleOptions,
    ScheduleRequest,
    change_schedule,
    create_schedule,
    delete_schedule,
    get_schedule,
    last_runs,
    list_schedules,
    run_now,
)


class SchedulesQuery(PageQuery):
    owner = serializers.CharField(default="", allow_blank=True)
    workflow = serializers.CharField(required=False)


class RunSerializer(serializers.Serializer[Any]):
    """A `jobs.models.ScheduleRun`."""

    jobId = serializers.CharField(source="execution_id", allow_null=True)
    status = serializers.CharField()
    at = Time()
    error = NullIfEmpty()


class ScheduleSerializer(serializers.Serializer[Any]):
    """A `jobs.models.WorkflowSchedule`. `context["runs"]` has the last runs."""

    scheduleId = serializers.CharField(source="pk")
    owner = serializers.CharField(source="owner.username")
    workflow = serializers.CharField(source="workflow.name")
    workflowOwner = serializers.CharField(source="workflow.owner.username")
    cron = NullIfEmpty()
    everySeconds = serializers.IntegerField(source="every_seconds", allow_null=True)
    timezone = serializers.CharField()
    overlap = serializers.CharField()
    missed = serializers.CharField()
    isPaused = serializers.BooleanField(source="is_paused")
    nextRuns = serializers.ListField(child=Time(), source="next_runs")
    lastRuns = serializers.SerializerMethodField()
    createdAt = Time(source="created_at")

    @extend_schema_field(RunSerializer(many=True))
    def get_lastRuns(self, schedule: WorkflowSchedule) -> Any:
        return RunSerializer(self.context["runs"][schedule.pk], many=True).data


@api_view([*READING, "POST"])
def schedules(request: Request) -> HttpResponseBase:
    user = cast(User, request.user)
    if request.method == "POST":
        body = ScheduleRequest(data=request.data, context={"user": user})
        body.is_valid(raise_exception=True)
        made = create_schedule(user, body.validated_data["found"], body.validated_data)
        (shown,) = _json([made])
        headers = {"Location": reverse("jobs:api_schedule", args=[made.pk]), "ETag": etag(shown)}
        return Response(shown, status=HTTPStatus.CREATED, headers=headers)
    query = read_query(SchedulesQuery, request)
    rows = list_schedules(user, query)
    found = page(rows, NEWEST_FIRST, limit=query["limit"], cursor=query["cursor"])
    return conditional(request, {"schedules": _json(found.rows), "nextCursor": found.next_cursor})


@api_view([*READING, "PATCH", "DELETE"])
def schedule(request: Request, schedule_id: str) -> HttpResponseBase:
    user = cast(User, request.user)
    found = get_schedule(user, schedule_id)
    read_query(NoParameters, request)
    if request.method == "DELETE":
        delete_schedule(user, found)
        return Response(status=HTTPStatus.NO_CONTENT)
    if request.method == "PATCH":
        (shown,) = _json([change_schedule(user, found, read_body(ScheduleOptions, request))])
        return Response(shown, headers={"ETag": etag(shown)})
    (shown,) = _json([found])
    return conditional(request, shown)


@api_view(["POST"])
def run(request: Request, schedule_id: str) -> HttpResponseBase:
    found = get_schedule(request.user, schedule_id)
    read_query(NoParameters, request)
    read_optional_body(NoParameters, request)
    return started(run_now(cast(User, request.user), found), is_new=True)


def _json(rows: Sequence[WorkflowSchedule]) -> list[Any]:
    return list(ScheduleSerializer(rows, many=True, context={"runs": last_runs(rows)}).data)
