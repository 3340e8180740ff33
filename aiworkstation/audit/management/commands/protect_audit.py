"""`manage.py protect_audit`: lets the application's role only insert and read audit events."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aiworkstation.audit import protection


class Command(BaseCommand):
    help = "Gives the audit trail's tables to a role that the application is not. `migrate` does it too, if it can."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--print", action="store_true", dest="only_print", help="only print the SQL, for an administrator to run"
        )

    def handle(self, *args: Any, only_print: bool, **options: Any) -> None:
        if not protection.are_created():
            raise CommandError("There are no tables yet. Run `manage.py migrate` first.")
        if only_print:
            self.stdout.write(protection.statements(), ending="")
            return
        with protection.logged_in_to_migrate():
            if warning := protection.protect():
                raise CommandError(warning)
        self.stdout.write("The application's role can only insert and read audit events.")
