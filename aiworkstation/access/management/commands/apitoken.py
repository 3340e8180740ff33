"""`manage.py apitoken USERNAME`"""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from aiworkstation.access import api_tokens
from aiworkstation.access.command_user import get_command_user
from aiworkstation.ops.command_arguments import short_text


class Command(BaseCommand):
    help = "Creates an API token and prints only the token. It is shown this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument(
            "--name", type=short_text(100), default="command line", help="a name that tells your tokens apart"
        )

    def handle(self, *, username: str, name: str, **options: Any) -> None:
        _, text = api_tokens.issue(get_command_user(username), name)
        self.stdout.write(text)
