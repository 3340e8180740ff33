"""`manage.py migrate`, with a role of its own if there is one. At its end, the audit trail is protected."""

from typing import Any

from django.core.management.commands import migrate

from aiworkstation.audit import protection


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        with protection.logged_in_to_migrate():
            super().handle(*args, **options)
            if not options["plan"] and (warning := protection.protect()):
                self.stderr.write(f"warning: {warning}")
