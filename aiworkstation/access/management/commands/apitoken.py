"""`manage.py apitoken USERNAME`"""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from aiworkstation.access import api_tokens
from aiworkstation.access.command_user import BAD_INPUT, get_command_user
from aiworkstation.access.models import ALL_SCOPES, scopes_of
from aiworkstation.ops.command_arguments import short_text, whole_number

MAX_DAYS = 3650


class Command(BaseCommand):
    help = "Creates an API token and prints only the token. It is shown this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument(
            "--name", type=short_text(100), default="command line", help="a name that tells your tokens apart"
        )

        parser.add_argument(
            "--scopes",
            type=lambda text: text.split(","),
            help=f"what the token may do, separated by commas: {', '.join(ALL_SCOPES)}. Default: all of the user's",
        )
        parser.add_argument(
            "--days", type=whole_number(1, MAX_DAYS), help="after how many days the token expires. Default: never"
        )

    def handle(self, *, username: str, name: str, scopes: list[str] | None, days: int | None, **options: Any) -> None:
        user = get_command_user(username)
        if unknown := [scope for scope in scopes or [] if scope not in scopes_of(user)]:
            raise CommandError(
                f"--scopes: {username} can give {', '.join(scopes_of(user))}, not {unknown[0]!r}.", returncode=BAD_INPUT
            )
        expires_at = timezone.now() + timedelta(days=days) if days else None
        _, text = api_tokens.issue(user, name, scopes=scopes, expires_at=expires_at)
        self.stdout.write(text)
