"""Who calls the API: `Authorization: Bearer <token>`, or a browser's session."""

from django.contrib.auth.models import User
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.parsers import BaseParser
from rest_framework.request import Request, is_form_media_type

from aiworkstation.access.models import ApiToken


class BearerAuthentication(authentication.BaseAuthentication):
    """The owner of the token; another scheme, or none, is left to the next authentication."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = ApiToken.find(text.strip())
        if token is None:
            raise AuthenticationFailed("The token is unknown, or it was revoked.")
        token.mark_used()
        return token.owner, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class SessionAuthentication(authentication.SessionAuthentication):
    """DRF's, which looks for the CSRF token in the parsed body first.

    Where a view takes no forms, that would answer a bad body before a missing token; there Django's own request
    is asked, which finds no token in JSON and does not read it.
    """

    def enforce_csrf(self, request: Request) -> None:
        takes_forms = any(map(_takes_forms, request.parsers or ()))
        super().enforce_csrf(request if takes_forms else request._request)  # type: ignore[arg-type]


def _takes_forms(parser: BaseParser) -> bool:
    return is_form_media_type(parser.media_type)
