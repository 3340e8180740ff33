"""The site's middleware for every request."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils.cache import patch_vary_headers
from django_htmx.http import HttpResponseClientRefresh

from aiworkstation.gate import cross_origin
from aiworkstation.web.errors import API_PREFIX
from aiworkstation.web.requests import SiteRequest

PRIVATE = "private, no-store"
PUBLIC = "public,"
GetResponse = Callable[[HttpRequest], HttpResponse]


def policy_framed_by(*origins: str) -> str:
    """Scripts, styles and everything else come from the site itself, and nothing is inline. No page may be framed.

    The only exception is the panel, which the pages of these origins may frame.
    """
    ancestors = " ".join(origins) or "'none'"
    return f"default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors {ancestors}"


CONTENT_SECURITY_POLICY = policy_framed_by()


class Middleware:
    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response


class StorablePath(Middleware):
    """Takes NUL out of the address: PostgreSQL refuses such text. Nothing has a name with it, so nothing is found."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.path = request.path.replace("\0", "\ufffd")
        request.path_info = request.path_info.replace("\0", "\ufffd")
        return self.get_response(request)


class PrivateAnswers(Middleware):
    """Forbids browsers and proxies to store responses to signed-in users. Static files have their own rule."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.headers.get("Cache-Control", "").startswith(PUBLIC) and not response.cookies:
            return response  # the view says that the answer is the same for everybody
        if "Authorization" in request.headers or settings.SESSION_COOKIE_NAME in request.COOKIES or response.cookies:
            response.headers["Cache-Control"] = PRIVATE
        return response


class ApiSlash(Middleware):
    """Serves `/api/jobs/` as `/api/jobs`, and likewise every address of the API, without a redirect."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(API_PREFIX):
            request.path_info = request.path_info.removesuffix("/")
        return self.get_response(request)


class CrossOrigin(Middleware):
    """Lets pages of CORS_ORIGINS call the API. The front gate answers preflights itself, before they take a thread."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        origins = settings.CONFIG.cors_origins
        origin = request.headers.get("Origin")
        asked = request.headers.get("Access-Control-Request-Method")
        if origin is not None and cross_origin.is_preflight(request.path, str(request.method), origin, asked):
            answer = cross_origin.answer_preflight(origins, origin)
            return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))
        response = self.get_response(request)
        if origins and request.path.startswith(API_PREFIX):
            patch_vary_headers(response, ["Origin"])
            for name, value in cross_origin.shared_with(origins, request.path, origin):
                response.headers[name] = value
        return response


class ContentSecurityPolicy(Middleware):
    """Sends the site's policy with every answer that has none of its own."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return response


class HtmxSignIn(Middleware):
    """Sends the whole page to the sign-in page. htmx alone would follow that redirect unseen."""

    def __call__(self, request: SiteRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.htmx or not isinstance(response, HttpResponseRedirect):
            return response
        is_sign_in = response.url.startswith(resolve_url(settings.LOGIN_URL))
        return HttpResponseClientRefresh() if is_sign_in else response
