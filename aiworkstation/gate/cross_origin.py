"""Calls of the API from pages of other origins (CORS).

Such a call carries an API token and never a cookie, because `Access-Control-Allow-Credentials` is never sent. So a page
of another origin cannot use the session of a user.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus

from aiworkstation.gate.refusals import API_PREFIX

EXPOSED = (
    "Content-Disposition",
    "ETag",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "traceparent",  # a page that traces sends these two with every call
    "tracestate",
    "X-Request-Id",
)
MAX_AGE = 7200
"""Seconds for which a browser keeps the answer to a preflight. Chromium keeps none longer."""

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Preflight:
    """The answer to the question that a browser asks before it sends a page's call."""

    status: HTTPStatus
    headers: Headers
    body: bytes = b""


def is_preflight(path: str, method: str, origin: str | None, requested_method: str | None) -> bool:
    return method == "OPTIONS" and path.startswith(API_PREFIX) and origin is not None and requested_method is not None


def answer_preflight(origins: Collection[str], origin: str) -> Preflight:
    """Answers for every address of the API, whether it exists or not, and without looking at credentials.

    A browser sends none, so the answer can depend on nothing but the origin.
    """
    if origin not in origins:
        detail = "Pages of this origin may not call the API. Add the origin to the setting CORS_ORIGINS."
        error = {"code": "origin_not_allowed", "detail": detail, "attr": None}
        body = json.dumps({"type": "client_error", "errors": [error]}).encode()
        headers = [("Content-Type", "application/json"), ("Vary", "Origin")]
        return Preflight(HTTPStatus.FORBIDDEN, headers, body)
    headers = [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Methods", ", ".join(METHODS)),
        ("Access-Control-Allow-Headers", ", ".join(REQUEST_HEADERS)),
        ("Access-Control-Max-Age", str(MAX_AGE)),
        ("Vary", "Origin"),
    ]
    return Preflight(HTTPStatus.NO_CONTENT, headers)


def shared_with(origins: Collection[str], path: str, origin: str | None) -> Headers:
    """Returns the headers that let a page of this origin read the answer. Errors have them too."""
    if origin not in origins or not path.startswith(API_PREFIX):
        return []
    return [("Access-Control-Allow-Origin", str(origin)), ("Access-Control-Expose-Headers", ", ".join(EXPOSED))]
