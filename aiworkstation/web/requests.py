"""The request as our views get it."""

from django.contrib.auth.models import User
from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

READING = ["GET", "HEAD"]
"""The methods of an API view that reads: DRF's `api_view` adds no HEAD by itself."""


class Request(HttpRequest):
    """Of a signed-in user: for views behind `login_required`."""

    user: User
    htmx: HtmxDetails
