"""Errors under /api/. All have the shape of drf-standardized-errors."""

from http import HTTPStatus
from typing import Any, cast

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from drf_standardized_errors.handler import ExceptionHandler
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.exceptions import APIException, NotFound, ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from aiworkstation.web.requests import SiteRequest
from aiworkstation.web.serializers import MAX_ERRORS

API_PREFIX = "/api/"
MAX_ERROR_TEXT = 2000
BAD_INPUT = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


class Conflict(APIException):
    """The object is not in a state that allows this."""

    status_code = HTTPStatus.CONFLICT
    default_detail = "The object is not in a state that allows this."
    default_code = "conflict"


class PreconditionFailed(APIException):
    """The tag in If-Match is not that of the object."""

    status_code = HTTPStatus.PRECONDITION_FAILED
    default_detail = "The object has changed since you read it. Read it again, and send its new ETag as If-Match."
    default_code = "precondition_failed"


class PayloadTooLarge(APIException):
    """The body is too large."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large: at most 10 MB."
    default_code = "payload_too_large"


class ApiErrorHandler(ExceptionHandler):
    """Handles Django's own errors too, and notes the refused object for the audit event."""

    def run(self) -> Response | None:
        request = cast(SiteRequest, self.context["request"]._request)  # type: ignore[union-attr]
        request.refused_object = getattr(self.exc, "refused_object", "")
        response = super().run()
        if response is not None and response.status_code in BAD_INPUT:
            _shorten(response.data["errors"])
            response.data |= getattr(request, "error_extras", {})
        return response

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, RequestDataTooBig):
            return PayloadTooLarge()
        if isinstance(exc, SuspiciousOperation):
            return ParseError(str(exc))
        return super().convert_known_exceptions(exc)


def expected_error(exception: Exception) -> tuple[int, list[dict[str, Any]]] | None:
    """Returns the status and the `errors` with which the API answers this exception. None if it is not one of ours."""
    handler = ApiErrorHandler(exception, cast(Any, {}))
    known = handler.convert_known_exceptions(exception)
    if not isinstance(known, APIException):
        return None
    errors: list[dict[str, Any]] = handler.format_exception(known)["errors"]
    _shorten(errors)
    return known.status_code, errors


def _shorten(errors: list[dict[str, Any]]) -> None:
    """Bounds the answer: an error quotes values and names of any length."""
    del errors[MAX_ERRORS:]
    for error in errors:
        for key in ("detail", "attr"):
            if error[key] and len(error[key]) > MAX_ERROR_TEXT:
                error[key] = f"{error[key][:MAX_ERROR_TEXT]}…"


@api_view(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@authentication_classes([])
@permission_classes([])
def not_found(request: Request) -> Response:
    """Answers every path under /api/ that the API does not have."""
    raise NotFound(f"There is no {request.path}.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answers a request that Django refuses before it reaches a view."""
    if not request.path.startswith(API_PREFIX):
        return defaults.bad_request(request, exception)
    return _error_response("client_error", "bad_request", "The request cannot be read.", HTTPStatus.BAD_REQUEST)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answers after an exception outside the API's views."""
    if not request.path.startswith(API_PREFIX):
        return defaults.server_error(request)
    return _error_response("server_error", "error", "Server Error (500)", HTTPStatus.INTERNAL_SERVER_ERROR)


def _error_response(kind: str, code: str, detail: str, status: HTTPStatus) -> JsonResponse:
    error = {"code": code, "detail": detail, "attr": None}
    return JsonResponse({"type": kind, "errors": [error]}, status=status)
