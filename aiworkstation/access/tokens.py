"""Issuing and revoking API tokens, with their events."""

from django.contrib.auth.models import User
from django.db import transaction

from aiworkstation.access.models import ApiToken
from aiworkstation.audit.record import record


@transaction.atomic
def issue(user: User, name: str = "token") -> tuple[ApiToken, str]:
    """A new token and its text, which nobody can read again."""
    token, text = ApiToken.issue(user, name)
    changes = {"name": name, "prefix": token.prefix, "owner": user.username}
    record(user, "token.issued", f"token:{token.pk}", changes)
    return token, text


@transaction.atomic
def revoke(user: User, token: ApiToken) -> None:
    """Whoever calls with it from now on is refused. `user` is who revokes it."""
    changes = {"name": token.name, "prefix": token.prefix, "owner": token.owner.username}
    record(user, "token.revoked", f"token:{token.pk}", changes)
    token.delete()
