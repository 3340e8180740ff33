"""Conditional GETs."""

import hashlib
import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from rest_framework.request import Request
from rest_framework.response import Response


def conditional(request: Request, body: Any, state: Any = None) -> HttpResponseBase:
    """The body with its tag, or a 304 where the client has it.

    `state` is what the tag covers, the body unless told: stored state alone, no clocks or places in a queue.
    """
    tag = etag(body if state is None else state)
    response = not_modified(request._request, tag) or Response(body)
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def etag(state: Any) -> str:
    """Weak: what the tag leaves out may differ."""
    text = json.dumps(state, sort_keys=True, default=str)
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def not_modified(request: HttpRequest, tag: str) -> HttpResponse | None:
    return get_conditional_response(request, etag=tag)
