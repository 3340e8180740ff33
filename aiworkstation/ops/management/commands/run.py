"""`manage.py run`: runs the whole application until Ctrl-C or SIGTERM."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aiworkstation.ops import run


class Command(BaseCommand):
    help = "Runs the database, the web server and the workers."
    requires_system_checks = []  # `prepare` runs them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reload", action="store_true", help="restart when the code changes")

    def handle(self, *args: Any, reload: bool, **options: Any) -> None:
        try:
            run.check()
        except run.CannotRun as error:
            raise CommandError(str(error)) from error
        run.supervise(reload=reload)
