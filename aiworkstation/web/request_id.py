"""The id of a request: in its answer, in the log and in its audit event."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4

from django.http import HttpRequest, HttpResponse

from aiworkstation.log_format import current_request

if TYPE_CHECKING:
    from aiworkstation.web.requests import SiteRequest

VALID = re.compile(r"[A-Za-z0-9._:-]{1,100}")


class RequestId:
    """Gives every request an id: the caller's X-Request-Id, or a new one. The answer and the log show it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: "SiteRequest") -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        request.request_id = given if VALID.fullmatch(given) else uuid4().hex
        reset = current_request.set(request)
        try:
            response = self.get_response(request)
        finally:
            current_request.reset(reset)
        response.headers["X-Request-Id"] = request.request_id
        return response
