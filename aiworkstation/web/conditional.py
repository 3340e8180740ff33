"""Conditional GETs: `ETag` and `If-None-Match`."""

import hashlib
import json
import re
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from rest_framework.request import Request
from rest_framework.response import Response

from aiworkstation.web.errors import PreconditionFailed


def conditional(request: Request, body: Any, state: Any = None) -> HttpResponseBase:
    """Answers with the body and its tag, or with a 304 if the client has it already.

    The tag covers `state`, by default the body. Pass the stored state if the body also has clocks or queue positions.
    """
    tag = etag(body if state is None else state)
    response = not_modified(request._request, tag) or Response(body)
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def check_if_match(request: Request, body: Any) -> bool:
    """Whether the request demands, with If-Match, that `body` is unchanged. Raises PreconditionFailed if it is not.

    Our tags are weak, and If-Match demands strong ones. But here a tag covers everything that the object has.
    """
    given = request.headers.get("If-Match")
    if given is None:
        return False
    if given.strip() != "*" and etag(body).removeprefix("W/") not in re.findall(r'"[^"]*"', given):
        raise PreconditionFailed
    return True


def etag(state: Any) -> str:
    """Returns a weak tag, because what it does not cover may differ."""
    text = json.dumps(state, sort_keys=True, default=str)
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def not_modified(request: HttpRequest, tag: str) -> HttpResponse | None:
    return get_conditional_response(request, etag=tag)
