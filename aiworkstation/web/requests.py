"""Requests with the attributes that the site's middleware and views add to Django's own."""

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest, QueryDict
from django_htmx.middleware import HtmxDetails

from aiworkstation.audit.requests import AuditedRequest

READING = ["GET", "HEAD"]
"""The methods of an API view that reads: DRF's `api_view` adds no HEAD by itself."""
MAX_TEXT = 1000
"""Characters of a text to look for in a list. Pages cut it, the API refuses a longer one."""


class SiteRequest(AuditedRequest):
    """Any request."""

    htmx: HtmxDetails
    """Set by django-htmx."""
    error_extras: dict[str, Any]
    """Set by a view: what its answers 400 and 413 contain beside `type` and `errors`."""


class Request(SiteRequest):
    """A request of a signed-in user: for views behind `login_required`."""

    user: User


def query_text(request: HttpRequest, name: str, most: int = MAX_TEXT) -> str:
    """Returns a parameter of a page, without the NUL that PostgreSQL refuses. Empty if it is missing."""
    return _text(request.GET, name, most)


def posted_text(request: HttpRequest, name: str, most: int = MAX_TEXT) -> str:
    """The same for a form."""
    return _text(request.POST, name, most)


def _text(given: QueryDict, name: str, most: int) -> str:
    return given.get(name, "").replace("\0", "").strip()[:most]


def query_number(request: HttpRequest, name: str, *, digits: int) -> int | None:
    """Returns a parameter of a page as a number of up to `digits` digits. None if it is missing or no such number."""
    given = request.GET.get(name, "")
    return int(given) if given.isdecimal() and len(given) <= digits else None
