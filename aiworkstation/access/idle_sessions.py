"""Ends idle sessions."""

import time
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse

from aiworkstation.web.live_fragments import is_poll

USED_AT = "used_at"
NOTE_EVERY = 60
"""Seconds between two updates of the session."""


class IdleSessions:
    """Middleware that signs a user out after SESSION_IDLE_MINUTES without a request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        seconds = settings.CONFIG.session_idle_minutes * 60
        if seconds and settings.SESSION_COOKIE_NAME in request.COOKIES and request.user.is_authenticated:
            self._check(request, seconds)
        return self.get_response(request)

    def _check(self, request: HttpRequest, seconds: int) -> None:
        now = int(time.time())
        idle = now - request.session.get(USED_AT, now)
        if idle > seconds:
            logout(request)
        # A page that is left open polls, and that is no use.
        elif not is_poll(request) and (USED_AT not in request.session or idle >= NOTE_EVERY):
            request.session[USED_AT] = now
