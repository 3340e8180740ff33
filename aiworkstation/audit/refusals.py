"""Refused requests, of the API and of pages alike.

Recorded are 401, 403 and 409, and those 404s that hide what is another user's. A caller without a name is
recorded only with a credential that failed or where it tried a change, and only so many times a minute, for
nothing else bounds how often strangers call; the log has every request. What has an event of its own has no second.
"""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.contrib.auth import get_user
from django.http import HttpRequest, HttpResponse

from aiworkstation.audit.record import record

REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT)
READING = ("GET", "HEAD", "OPTIONS")


class Budget:
    """At most `limit` a minute, in this process."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.minute = 0
        self.spent = 0

    def spend(self) -> bool:
        minute = int(time.monotonic() // 60)
        if minute != self.minute:
            self.minute, self.spent = minute, 0
        self.spent += 1
        return self.spent <= self.limit


strangers = Budget(60)


class Refusals:
    """Writes `request.refused` for answers that refuse."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_told = getattr(request, "is_refusal_told", False)
        if not is_told and _is_refusal(request, response.status_code) and _is_worth_a_row(request):
            _record(request, response.status_code)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Pages raise what the API's error handler notes itself."""
        request.refused_object = getattr(exception, "refused_object", "")  # type: ignore[attr-defined]


def _is_refusal(request: HttpRequest, status: int) -> bool:
    return status in REFUSED or (status == HTTPStatus.NOT_FOUND and bool(_object(request)))


def _object(request: HttpRequest) -> str:
    return getattr(request, "refused_object", "")


def _user(request: HttpRequest) -> Any:
    """None for strangers. DRF forgets the session's user where the CSRF token is missing: that one is asked for."""
    if not hasattr(request, "user"):
        return None
    user = request.user if request.user.is_authenticated else get_user(request)
    return user if user.is_authenticated else None


def _is_worth_a_row(request: HttpRequest) -> bool:
    if _user(request) is not None:
        return True
    if request.method in READING and "Authorization" not in request.headers:
        return False
    return strangers.spend()


def _record(request: HttpRequest, status: int) -> None:
    changes = {
        "status": status,
        "method": request.method,
        "path": request.path[:500],
        "requestId": getattr(request, "request_id", ""),
    }
    record(_user(request), "request.refused", _object(request) or f"path:{request.path}", changes)
