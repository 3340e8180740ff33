"""A span for each request, inside that of the caller if it sent a `traceparent`."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from aiworkstation import tracing

UNTRACED = ("/health/", "/metrics", "/static/", "/favicon.ico")
"""Probes, scrapes and files would be most of the spans."""


METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER = "_OTHER"
"""How the conventions call every other method, which a client can make up."""


class RequestTrace:
    """Middleware. The span has the route and not the path, because a path can contain the token of a mailed link."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(UNTRACED):
            return self.get_response(request)
        method = request.method if request.method in METHODS else OTHER
        parent = request.headers.get("traceparent", "")
        with tracing.span(method, "server", {"http.request.method": method}, parent=parent) as span:
            response = self.get_response(request)
            route = request.resolver_match.route if request.resolver_match else ""
            span.name(f"{method} /{route}")
            span.set(
                {
                    "http.route": f"/{route}",
                    "http.response.status_code": response.status_code,
                    "aiworkstation.request.id": getattr(request, "request_id", None),
                }
            )
            if response.status_code >= 500:
                span.fail(str(response.status_code))
            return response
