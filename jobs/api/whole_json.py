"""Answers that are one JSON value of the database, whatever its size."""

from typing import Any
from uuid import UUID

from django.db.models import Model
from django.http import FileResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from aiworkstation.web.conditional import etag, not_modified
from jobs.large_json import open_whole


def whole_json(
    request: Request, model: type[Model], column: str, id: UUID | None, state: list[Any]
) -> HttpResponseBase:
    """Streams the value, `null` if there is none. Its tag covers `state`, so that a 304 reads nothing of it."""
    tag = etag([column, id, state])
    response = not_modified(request._request, tag) or FileResponse(
        open_whole(model, column, id), content_type="application/json"
    )
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "private, no-cache"
    return response
