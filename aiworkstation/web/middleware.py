"""What every request passes."""

import logging
import re
from collections.abc import Callable
from contextvars import ContextVar
from uuid import uuid4

from django.http import HttpRequest, HttpResponse

Next = Callable[[HttpRequest], HttpResponse]
FROM_OUTSIDE = re.compile(r"[A-Za-z0-9._:-]{1,100}")

request_id: ContextVar[str] = ContextVar("request_id", default="-")


class RequestId:
    """X-Request-Id, the caller's or a new one: in the answer, in the log and in `request.request_id`."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        name = given if FROM_OUTSIDE.fullmatch(given) else uuid4().hex
        request.request_id = name  # type: ignore[attr-defined]
        reset = request_id.set(name)
        try:
            response = self.get_response(request)
        finally:
            request_id.reset(reset)
        response.headers["X-Request-Id"] = name
        return response


class RequestIdFilter(logging.Filter):
    """Gives each record the id of the request in which it is written.

    Django logs a refused request when it is over: that record brings its request along.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        record.request_id = getattr(request, "request_id", None) or request_id.get()
        return True


class ApiSlash:
    """`/api/jobs/` is `/api/jobs`, for every address of the API, without a redirect."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith("/api/"):
            request.path_info = request.path_info.removesuffix("/")
        return self.get_response(request)
