"""The user that a management command names, and the exit codes of all commands."""

from django.contrib.auth.models import User
from django.core.management.base import CommandError

FAILED = 1
BAD_INPUT = 2
"""The exit code for bad input: nothing was started. argparse uses this code too."""
INTERRUPTED = 130


def get_command_user(username: str) -> User:
    """Raises CommandError if there is no such user."""
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandError(
            f"There is no user {username!r}. Create users with `manage.py createsuperuser` or in the admin.",
            returncode=BAD_INPUT,
        )
    return user
