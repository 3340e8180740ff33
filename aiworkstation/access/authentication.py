"""`Authorization: Bearer <token>`."""

from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from aiworkstation.access.models import ApiToken


class BearerAuthentication(BaseAuthentication):
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
