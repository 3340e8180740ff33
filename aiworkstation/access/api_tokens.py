"""Issues and revokes API tokens, with their audit events."""

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from aiworkstation.access.models import ApiToken
from aiworkstation.audit.record import record


@transaction.atomic
def issue(
    user: User, name: str = "token", *, scopes: list[str] | None = None, expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """Returns a new API token and its text, which cannot be read again. By default it has all scopes of the user."""
    token, text = ApiToken.issue(user, name, scopes=scopes, expires_at=expires_at)
    changes: dict[str, Any] = {"name": name, "prefix": token.prefix, "owner": user.username, "scopes": token.scopes}
    if expires_at is not None:
        changes["expiresAt"] = expires_at.isoformat()
    record(user, "token.issued", f"token:{token.pk}", changes)
    return token, text


@transaction.atomic
def revoke(user: User, token: ApiToken) -> None:
    """Deletes the token, so that calls with it are refused. `user` revokes it."""
    changes = {"name": token.name, "prefix": token.prefix, "owner": token.owner.username}
    record(user, "token.revoked", f"token:{token.pk}", changes)
    token.delete()
