"""Issues and revokes API tokens, with their audit events."""

from django.contrib.auth.models import User
from django.db import transaction

from aiworkstation.access.models import ApiToken
from aiworkstation.audit.record import record


@transaction.atomic
def issue(user: User, name: str = "token") -> tuple[ApiToken, str]:
    """Returns a new API token and its text, which cannot be read again."""
    token, text = ApiToken.issue(user, name)
    changes = {"name": name, "prefix": token.prefix, "owner": user.username}
    record(user, "token.issued", f"token:{token.pk}", changes)
    return token, text


@transaction.atomic
def revoke(user: User, token: ApiToken) -> None:
    """Deletes the token, so that calls with it are refused. `user` is the one who revokes it."""
    changes = {"name": token.name, "prefix": token.prefix, "owner": token.owner.username}
    record(user, "token.revoked", f"token:{token.pk}", changes)
    token.delete()
