"""The API of saved workflows."""

from http import HTTPStatus
from typing import Any, cast

from django.contrib.auth.models import User
from django.http.response import HttpResponseBase
from django.urls import reverse
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from aiworkstation.web.conditional import check_if_match, conditional, etag
from aiworkstation.web.paging import PageQuery, page
from aiworkstation.web.requests import MAX_TEXT, READING
from aiworkstation.web.serializers import Json, StrictSerializer, Time, has_no_body, read_query
from jobs.api.views import started
from jobs.lookup import NEWEST_FIRST
from jobs.models import SavedWorkflow, WorkflowVersion
from jobs.saved_workflows import (
    ChangeRequest,
    SaveRequest,
    change_workflow,
    check_may_change,
    delete_workflow,
    get_workflow,
    list_workflows,
    run_workflow,
    save_workflow,
)


class OwnerQuery(StrictSerializer):
    owner = serializers.CharField(default="", allow_blank=True)


class VersionsQuery(PageQuery, OwnerQuery):
    pass


class WorkflowsQuery(PageQuery, OwnerQuery):
    q = serializers.CharField(required=False, max_length=MAX_TEXT)


class WorkflowSerializer(serializers.Serializer[Any]):
    """A `jobs.models.SavedWorkflow`."""

    name = serializers.CharField()
    owner = serializers.CharField(source="owner.username")
    version = serializers.IntegerField()
    payload = Json()
    isShared = serializers.BooleanField(source="is_shared")
    createdAt = Time(source="created_at")
    updatedAt = Time(source="updated_at")


class VersionSerializer(serializers.Serializer[Any]):
    """A `jobs.models.WorkflowVersion`."""

    version = serializers.IntegerField()
    payload = Json()
    createdBy = serializers.CharField(source="created_by")
    createdAt = Time(source="created_at")


@api_view([*READING, "POST"])
def workflows(request: Request) -> HttpResponseBase:
    if request.method == "POST":
        body = SaveRequest(data=request.data, context={"user": request.user})
        body.is_valid(raise_exception=True)
        saved = save_workflow(cast(User, request.user), body.validated_data)
        address = reverse("jobs:api_workflow", args=[saved.name])
        return _answer(saved, HTTPStatus.CREATED, {"Location": address})
    query = read_query(WorkflowsQuery, request)
    rows = list_workflows(request.user, query)
    found = page(rows, NEWEST_FIRST, limit=query["limit"], cursor=query["cursor"])
    listed = WorkflowSerializer(found.rows, many=True).data
    return conditional(request, {"workflows": listed, "nextCursor": found.next_cursor})


@api_view([*READING, "PUT", "DELETE"])
def workflow(request: Request, name: str) -> HttpResponseBase:
    user = cast(User, request.user)
    found = get_workflow(user, name, read_query(OwnerQuery, request)["owner"])
    if request.method in READING:
        return conditional(request, WorkflowSerializer(found).data)
    check_may_change(user, found)
    is_conditional = check_if_match(request, WorkflowSerializer(found).data)
    if request.method == "DELETE":
        delete_workflow(user, found)
        return Response(status=HTTPStatus.NO_CONTENT)
    body = ChangeRequest(data=request.data, context={"user": found.owner})
    body.is_valid(raise_exception=True)
    return _answer(change_workflow(user, found, body.validated_data, is_conditional=is_conditional), HTTPStatus.OK)


@api_view(READING)
def versions(request: Request, name: str) -> HttpResponseBase:
    query = read_query(VersionsQuery, request)
    found = get_workflow(request.user, name, query["owner"])
    rows = WorkflowVersion.objects.filter(workflow=found)
    listed = page(rows, ("-version",), limit=query["limit"], cursor=query["cursor"])
    body = {"versions": VersionSerializer(listed.rows, many=True).data, "nextCursor": listed.next_cursor}
    return conditional(request, body)


@api_view(["POST"])
def runs(request: Request, name: str) -> HttpResponseBase:
    found = get_workflow(request.user, name, read_query(OwnerQuery, request)["owner"])
    body = {} if has_no_body(request) else request.data
    key = request.headers.get("Idempotency-Key")
    execution, is_new = run_workflow(cast(User, request.user), found, body, idempotency_key=key)
    return started(execution, is_new=is_new)


def _answer(saved: SavedWorkflow, status: HTTPStatus, headers: dict[str, str] | None = None) -> Response:
    body = WorkflowSerializer(saved).data
    return Response(body, status=status, headers={"ETag": etag(body), **(headers or {})})
