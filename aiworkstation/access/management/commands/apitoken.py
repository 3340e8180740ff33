"""`manage.py apitoken USERNAME`"""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from aiworkstation.access import tokens


class Command(BaseCommand):
    help = "Makes an API token and prints it, and nothing else: it is shown this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="command line", help="to tell tokens apart")

    def handle(self, *, username: str, name: str, **options: Any) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"There is no user {username!r}.")
        _, text = tokens.issue(user, name[:100])
        self.stdout.write(text)
