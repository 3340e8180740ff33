"""The id of a request: in its answer, in the log and in its audit event."""

import logging
import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING
from uuid import uuid4

from django.http import HttpRequest, HttpResponse

if TYPE_CHECKING:  # that module needs models, and Django sets up logging before it loads any
    from aiworkstation.web.requests import SiteRequest

VALID = re.compile(r"[A-Za-z0-9._:-]{1,100}")

current_request_id: ContextVar[str] = ContextVar("request_id", default="-")


class RequestId:
    """Gives every request an id: the caller's X-Request-Id, or a new one. The answer and the log show it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: "SiteRequest") -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        request.request_id = given if VALID.fullmatch(given) else uuid4().hex
        reset = current_request_id.set(request.request_id)
        try:
            response = self.get_response(request)
        finally:
            current_request_id.reset(reset)
        response.headers["X-Request-Id"] = request.request_id
        return response


class RequestIdFilter(logging.Filter):
    """Gives each log record the id of the request during which it is written.

    Django logs a refused request after its end. Such a record has the request as an attribute.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        record.request_id = getattr(request, "request_id", None) or current_request_id.get()
        return True
