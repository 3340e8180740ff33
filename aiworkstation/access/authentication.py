"""Authentication of the API: `Authorization: Bearer <API token>`, or a browser's session."""

from django.contrib.auth.models import User
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.parsers import BaseParser
from rest_framework.request import Request, is_form_media_type

from aiworkstation.access.models import ApiToken
from aiworkstation.audit.client_address import client_address


class BearerAuthentication(authentication.BaseAuthentication):
    """Authenticates the owner of an API token. Requests with another scheme, or none, go to the next authentication."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = ApiToken.find(text.strip())
        if token is None:
            raise AuthenticationFailed("The API token is unknown or was revoked.")
        if token.is_expired:
            raise AuthenticationFailed("The API token has expired. Create a new one.", code="token_expired")
        token.mark_used(client_address(request._request))
        return token.caller(), token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class SessionAuthentication(authentication.SessionAuthentication):
    """DRF's session authentication, except that a missing CSRF token is reported before a bad body.

    DRF parses the body to look for the CSRF token. If the view takes no forms, the body cannot contain one: then
    Django's own request is checked, which does not parse the body.
    """

    def enforce_csrf(self, request: Request) -> None:
        takes_forms = any(map(_takes_forms, request.parsers or ()))
        super().enforce_csrf(request if takes_forms else request._request)  # type: ignore[arg-type]


def _takes_forms(parser: BaseParser) -> bool:
    return is_form_media_type(parser.media_type)
