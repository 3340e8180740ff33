"""What an API token may do: its scopes, and the permission class that checks them.

`aiworkstation/api_scopes.py` lists the scope that each address of the API needs.
"""

from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from aiworkstation.access.models import ALL_SCOPES, ApiToken, Scope

if TYPE_CHECKING:  # that module reads the settings, which name this one
    from rest_framework.views import APIView

UNLISTED = tuple(scope for scope in ALL_SCOPES if scope != Scope.ADMIN)
"""The scopes for an address that the list does not have, such as one of your own app."""


class InsufficientScope(PermissionDenied):
    """The API token lacks a scope."""

    default_code = "insufficient_scope"

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"This needs an API token with the scope {scope}. The scopes of a token cannot be changed: create another."
        )
        self.auth_header = f'Bearer realm="api", error="insufficient_scope", scope="{scope}"'


class HasScope(BasePermission):
    """Checks the scopes of an API token. A session has all scopes of its user."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        token = request.auth
        if not isinstance(token, ApiToken):
            return True
        for scope in _needed_scopes(request):
            check_scope(token, scope)
        owner = request.query_params.get("owner", "")
        if token.is_narrowed and owner not in ("", token.owner.username):
            raise InsufficientScope(Scope.ADMIN)
        return True


def check_scope(token: ApiToken, scope: str) -> None:
    """Raises InsufficientScope."""
    if scope not in token.scopes:
        raise InsufficientScope(scope)


def _needed_scopes(request: Request) -> tuple[str, ...]:
    """A method that the address does not have needs none, because it is a 405 for everybody."""
    match = request._request.resolver_match
    declared = settings.API_SCOPES.get(match.route if match else "", None)
    if declared is None:
        return UNLISTED
    method = str(request.method).replace("HEAD", "GET")
    return tuple(declared.get(method, "").split())
