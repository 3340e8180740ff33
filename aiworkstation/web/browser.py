"""What answers to a browser carry beside their content."""

from collections.abc import Callable
from typing import cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django_htmx.http import HttpResponseClientRefresh

from aiworkstation.web.requests import Request

Next = Callable[[HttpRequest], HttpResponse]

# Everything comes from the site itself, and nothing is inline: neither scripts nor styles.
POLICY = "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"


class ContentSecurityPolicy:
    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


class HtmxSignIn:
    """htmx would follow a redirect to the sign-in page unseen; the whole page must go there."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not cast(Request, request).htmx or not isinstance(response, HttpResponseRedirect):
            return response
        is_sign_in = response.url.startswith(resolve_url(settings.LOGIN_URL))
        return HttpResponseClientRefresh() if is_sign_in else response
