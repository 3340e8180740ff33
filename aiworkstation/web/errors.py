"""Errors under /api/, all in the shape of drf-standardized-errors."""

from http import HTTPStatus

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from drf_standardized_errors.handler import ExceptionHandler
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.exceptions import APIException, NotFound, ParseError
from rest_framework.request import Request
from rest_framework.response import Response

API = "/api/"
BAD_INPUT = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


class Conflict(APIException):
    """The object is not in a state that allows this."""

    status_code = HTTPStatus.CONFLICT
    default_detail = "The object is not in a state that allows this."
    default_code = "conflict"


class PayloadTooLarge(APIException):
    """The body is too large."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large: at most 10 MB."
    default_code = "payload_too_large"


class Handler(ExceptionHandler):
    """Django's own errors too; tells the audit trail which object was refused.

    A view may set `request.beside_errors`: what its answers to bad input hold beside `type` and `errors`.
    """

    def run(self) -> Response | None:
        request = getattr(self.context["request"], "_request", None)
        if request is not None:
            request.refused_object = getattr(self.exc, "refused_object", "")
        response = super().run()
        if response is not None and response.status_code in BAD_INPUT:
            response.data |= getattr(request, "beside_errors", {})
        return response

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, RequestDataTooBig):
            return PayloadTooLarge()
        if isinstance(exc, SuspiciousOperation):
            return ParseError(str(exc))
        return super().convert_known_exceptions(exc)


@api_view(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@authentication_classes([])
@permission_classes([])
def not_found(request: Request) -> Response:
    """Every path under /api/ that is none of the API's."""
    raise NotFound(f"There is no {request.path}.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What Django refuses before a view is reached."""
    if not request.path.startswith(API):
        return defaults.bad_request(request, exception)
    return _plain("client_error", "bad_request", "The request cannot be read.", HTTPStatus.BAD_REQUEST)


def server_error(request: HttpRequest) -> HttpResponse:
    """What breaks outside the API's views."""
    if not request.path.startswith(API):
        return defaults.server_error(request)
    return _plain("server_error", "error", "Server Error (500)", HTTPStatus.INTERNAL_SERVER_ERROR)


def _plain(kind: str, code: str, detail: str, status: HTTPStatus) -> JsonResponse:
    error = {"code": code, "detail": detail, "attr": None}
    return JsonResponse({"type": kind, "errors": [error]}, status=status)
