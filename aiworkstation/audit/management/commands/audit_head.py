"""`manage.py audit_head`: prints the head of the audit chain, to keep elsewhere."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from aiworkstation.audit.chain import head


class Command(BaseCommand):
    help = "Prints the newest seal of the audit trail as NUMBER:DIGEST. Keep it where this machine cannot change it."

    def handle(self, *args: Any, **options: Any) -> None:
        newest = head()
        if newest is None:
            raise CommandError("Nothing is sealed yet. The maintenance of `manage.py work` seals every few seconds.")
        self.stdout.write(str(newest))
