"""Limits requests to API_RATE a minute for each user and API token."""

from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from aiworkstation.access.models import ApiToken, ApiUse

if TYPE_CHECKING:  # that module reads the settings, which name this one
    from rest_framework.views import APIView


class RateThrottle(BaseThrottle):
    """Counts in the database, so that all web processes share the limit. Without API_RATE it costs nothing."""

    seconds_left = 0.0

    def allow_request(self, request: Request, view: "APIView") -> bool:
        if not settings.CONFIG.api_rate or not request.user.is_authenticated:
            return True
        token = request.auth
        caller = f"token:{token.pk}" if isinstance(token, ApiToken) else f"user:{request.user.pk}"
        used, self.seconds_left = ApiUse.count(caller)
        return used <= settings.CONFIG.api_rate

    def wait(self) -> float:
        return self.seconds_left
