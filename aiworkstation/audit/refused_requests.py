"""Audit events of refused requests, to the API and to pages alike.

Refusals with 401, 403 and 409 are recorded, and so is a 404 that hides another user's object. An anonymous caller is
recorded only if a credential failed or the request tried to change something, and only a limited number of times a
minute, because nothing else limits anonymous callers. The others are counted, and the count is recorded when the minute
is over. The log has every request. A refusal that has its own event gets no second one.
"""

import atexit
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse

from aiworkstation.audit.origin import user_of
from aiworkstation.audit.record import record
from aiworkstation.audit.requests import AuditedRequest

logger = logging.getLogger(__name__)

REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT)
READING = ("GET", "HEAD", "OPTIONS")


class Budget:
    """Allows at most `limit` events in each window of `seconds` in this process.

    The others are counted by their action. At the end of the window the event `refusals.dropped` has the counts.
    """

    def __init__(self, limit: int, seconds: float = 60.0) -> None:
        self.limit = limit
        self.seconds = seconds
        self.window = 0
        self.spent = 0
        self.dropped: Counter[str] = Counter()
        self.timer: threading.Timer | None = None
        # The threads of the web server and the timer share these counts.
        self.lock = threading.Lock()

    def spend(self, action: str) -> bool:
        """Returns whether one more event is allowed. If not, it is counted."""
        now = time.monotonic()
        with self.lock:
            if (window := int(now // self.seconds)) != self.window:
                self.window, self.spent = window, 0
            self.spent += 1
            if self.spent <= self.limit:
                return True
            self.dropped[action] += 1
            if self.timer is None:
                self._record_after((window + 1) * self.seconds - now)
            return False

    def record_dropped(self) -> None:
        """Records how many events were dropped since the last time, if any were."""
        with self.lock:
            # Taken under the lock and recorded outside of it: a slow database must not hold up the threads that count.
            dropped, self.dropped, self.timer = self.dropped, Counter(), None
        if not dropped:
            return
        changes = {"count": dropped.total(), "actions": dict(dropped), "seconds": self.seconds}
        try:
            record(None, "refusals.dropped", "audit:anonymous", changes)
        except Error:
            logger.warning("%d refusals are not recorded yet", dropped.total(), exc_info=True)
            # Counted again, so that the next record includes them.
            with self.lock:
                self.dropped += dropped

    def close(self) -> None:
        """Forgets what was counted."""
        with self.lock:
            self.dropped.clear()
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None

    def _record_after(self, seconds: float) -> None:
        self.timer = threading.Timer(seconds, self._record_in_thread)
        self.timer.daemon = True
        self.timer.start()

    def _record_in_thread(self) -> None:
        try:
            self.record_dropped()
        finally:
            # The timer's thread ends here. Django would keep its connection open.
            connection.close()
        with self.lock:
            # What could not be recorded, or was counted since, gets a timer again.
            if self.dropped and self.timer is None:
                self._record_after(self.seconds)


anonymous_events = Budget(60)
# A process that stops within the window records its counts too.
atexit.register(anonymous_events.record_dropped)


class RefusedRequests:
    """Middleware that records the event `request.refused`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: AuditedRequest) -> HttpResponse:
        response = self.get_response(request)
        status = getattr(request, "refused_status", response.status_code)
        has_own_event = getattr(request, "is_refusal_recorded", False)
        if not has_own_event and _is_refusal(request, status) and _may_record(request):
            _record(request, status)
        return response

    def process_exception(self, request: AuditedRequest, exception: Exception) -> None:
        """Notes the object that a page refuses. For the API, its error handler does so."""
        request.refused_object = getattr(exception, "refused_object", "")


def _is_refusal(request: AuditedRequest, status: int) -> bool:
    return status in REFUSED or (status == HTTPStatus.NOT_FOUND and bool(_refused_object(request)))


def _refused_object(request: AuditedRequest) -> str:
    return getattr(request, "refused_object", "")


def _may_record(request: AuditedRequest) -> bool:
    if user_of(request) is not None:
        return True
    if request.method in READING and "Authorization" not in request.headers:
        return False
    return anonymous_events.spend("request.refused")


def _record(request: AuditedRequest, status: int) -> None:
    changes = {
        "status": status,
        "method": request.method,
        "path": request.path[:500],
        "requestId": getattr(request, "request_id", ""),
    }
    record(user_of(request), "request.refused", _refused_object(request) or f"path:{request.path}", changes)
