"""The address of the Model Context Protocol: one POST for each message, as in its version 2026-07-28."""

import json
from http import HTTPStatus
from importlib import import_module
from typing import Any, cast

from django.http import HttpResponse
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from aiworkstation.access.authentication import BearerAuthentication
from aiworkstation.access.models import ApiToken, Scope
from aiworkstation.access.scopes import check_scope
from aiworkstation.web.requests import SiteRequest
from mcp_server.tools import find_tool

PARSE_ERROR, INVALID_REQUEST, INTERNAL_ERROR = -32700, -32600, -32603
TASK_SCOPES = {"tasks/get": Scope.READ, "tasks/update": Scope.RUN, "tasks/cancel": Scope.RUN}
PASSED_ON = ("accept", "content-type")
"""The headers that the SDK sees, besides those of the protocol, which begin with `mcp-`."""


class BadMessage(APIException):
    """It is not a message of the protocol."""

    status_code = HTTPStatus.BAD_REQUEST
    default_code = "invalid_request"


class McpView(APIView):
    """Takes API tokens only: agents have no session, and a page of another site must not use one."""

    schema = None
    http_method_names = ["post", "options"]
    authentication_classes = [BearerAuthentication]
    message_id: str | int | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        _check_origin(request)
        super().initial(request, *args, **kwargs)

    def post(self, request: Request) -> HttpResponse:
        message = _read_message(request.data)
        self.message_id = message.get("id")
        if scope := _needed_scope(message):
            check_scope(cast(ApiToken, request.auth), scope)
        # Imported with the first message: the SDK takes a second and 50 MB, which nobody pays who has no agents.
        exchange = import_module("mcp_server.exchange").Exchange(request.user)
        reply = exchange.answer(_headers(request), json.dumps(message).encode())
        if exchange.failure is not None:
            raise exchange.failure
        _note_refusal(cast(SiteRequest, request._request), exchange)
        return HttpResponse(reply.body, status=reply.status, content_type=reply.content_type or "application/json")

    def handle_exception(self, exc: Exception) -> Response:
        """Returns the API's error as one of JSON-RPC, with the same status and headers."""
        response = super().handle_exception(exc)
        errors = response.data["errors"]
        code = INVALID_REQUEST if response.status_code < 500 else INTERNAL_ERROR
        error = {
            "code": PARSE_ERROR if errors[0]["code"] == "parse_error" else code,
            "message": errors[0]["detail"],
            "data": {"errors": errors},
        }
        response.data = {"jsonrpc": "2.0", "id": self.message_id, "error": error}
        return response


def _check_origin(request: Request) -> None:
    """Against DNS rebinding. Django has checked the Host, so a page of this site has it as its origin."""
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"{request.scheme}://{request.get_host()}":
        raise PermissionDenied("Pages of another origin may not call this address.", code="origin_not_allowed")


def _read_message(body: Any) -> dict[str, Any]:
    """Returns a request or a notification. Batches and responses are none. Raises BadMessage."""
    if not isinstance(body, dict):
        raise BadMessage("Send one JSON-RPC request or notification. Batches are not supported.")
    if not isinstance(body.get("method"), str) or body.get("jsonrpc") != "2.0":
        raise BadMessage('A JSON-RPC request has "jsonrpc": "2.0" and a "method".')
    if "id" in body and (isinstance(body["id"], bool) or not isinstance(body["id"], str | int)):
        raise BadMessage('The "id" of a request is a string or a whole number.')
    return body


def _needed_scope(message: dict[str, Any]) -> str:
    """The scope of the tool that the message calls. Empty if it calls none."""
    params = message.get("params")
    if message["method"] != "tools/call" or not isinstance(params, dict):
        return TASK_SCOPES.get(message["method"], "")
    tool = find_tool(params.get("name"))
    return tool.scope if tool else ""


def _headers(request: Request) -> list[tuple[bytes, bytes]]:
    named = [(name.lower(), value) for name, value in request.headers.items()]
    passed = [each for each in named if each[0] in PASSED_ON or each[0].startswith("mcp-")]
    return [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in passed]


def _note_refusal(request: SiteRequest, exchange: Any) -> None:
    """For the audit trail, which sees only the status 200."""
    if exchange.refused_status is not None:
        request.refused_status = exchange.refused_status
        request.refused_object = exchange.refused_object
