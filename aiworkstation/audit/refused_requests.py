"""Audit events of refused requests, to the API and to pages alike.

Recorded are 401, 403 and 409, and a 404 that hides another user's object. An anonymous caller is recorded only if a
credential failed or the request tried to change something, and only so many times a minute: nothing else limits how
often anonymous callers come. The log has every request. A refusal with an event of its own gets no second one.
"""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.contrib.auth import get_user
from django.http import HttpRequest, HttpResponse

from aiworkstation.audit.record import record
from aiworkstation.audit.requests import AuditedRequest

REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT)
READING = ("GET", "HEAD", "OPTIONS")


class Budget:
    """Allows at most `limit` events a minute in this process."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.minute = 0
        self.spent = 0

    def spend(self) -> bool:
        """Returns whether one more event is allowed."""
        minute = int(time.monotonic() // 60)
        if minute != self.minute:
            self.minute, self.spent = minute, 0
        self.spent += 1
        return self.spent <= self.limit


anonymous_events = Budget(60)


class RefusedRequests:
    """Middleware that records the event `request.refused`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: AuditedRequest) -> HttpResponse:
        response = self.get_response(request)
        has_own_event = getattr(request, "is_refusal_recorded", False)
        if not has_own_event and _is_refusal(request, response.status_code) and _may_record(request):
            _record(request, response.status_code)
        return response

    def process_exception(self, request: AuditedRequest, exception: Exception) -> None:
        """Notes the object that a page refuses. For the API, its error handler does so."""
        request.refused_object = getattr(exception, "refused_object", "")


def _is_refusal(request: AuditedRequest, status: int) -> bool:
    return status in REFUSED or (status == HTTPStatus.NOT_FOUND and bool(_refused_object(request)))


def _refused_object(request: AuditedRequest) -> str:
    return getattr(request, "refused_object", "")


def _user(request: AuditedRequest) -> Any:
    """Returns None for anonymous callers. If the CSRF token is missing, DRF drops the session's user: ask again."""
    if not hasattr(request, "user"):
        return None
    user = request.user if request.user.is_authenticated else get_user(request)
    return user if user.is_authenticated else None


def _may_record(request: AuditedRequest) -> bool:
    if _user(request) is not None:
        return True
    if request.method in READING and "Authorization" not in request.headers:
        return False
    return anonymous_events.spend()


def _record(request: AuditedRequest, status: int) -> None:
    changes = {
        "status": status,
        "method": request.method,
        "path": request.path[:500],
        "requestId": getattr(request, "request_id", ""),
    }
    record(_user(request), "request.refused", _refused_object(request) or f"path:{request.path}", changes)
