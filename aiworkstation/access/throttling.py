"""Limits requests to API_RATE a minute for each user and API token."""

import math
from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from aiworkstation.access.models import ApiToken, ApiUse

if TYPE_CHECKING:  # that module reads the settings, which name this one
    from rest_framework.views import APIView


SECONDS = 60


class RateThrottle(BaseThrottle):
    """Counts in the database, so that all web processes share the limit. Without API_RATE it costs nothing.

    Each answer shows what is left, in the headers of draft-ietf-httpapi-ratelimit-headers-10: `q` requests in `w`
    seconds, and `r` of them are left for `t` seconds.
    """

    seconds_left = 0.0

    def allow_request(self, request: Request, view: "APIView") -> bool:
        quota = settings.CONFIG.api_rate
        if not quota or not request.user.is_authenticated:
            return True
        token = request.auth
        name, key = ("token", token.pk) if isinstance(token, ApiToken) else ("user", request.user.pk)
        used, self.seconds_left = ApiUse.count(f"{name}:{key}")
        view.headers["RateLimit-Policy"] = f'"{name}";q={quota};w={SECONDS}'
        view.headers["RateLimit"] = f'"{name}";r={max(0, quota - used)};t={math.ceil(self.seconds_left)}'
        return used <= quota

    def wait(self) -> float:
        return self.seconds_left
