"""The user that a management command names."""

from django.contrib.auth.models import User
from django.core.management.base import CommandError


def get_command_user(username: str, *, returncode: int = 1) -> User:
    """Raises CommandError if there is no such user."""
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandError(f"There is no user {username!r}. Create users in the admin.", returncode=returncode)
    return user
