"""`manage.py resume`: ends a pause."""

from typing import Any

from django.core.management.base import BaseCommand

from aiworkstation.audit.origin import command_line_actor
from workflows.engine.pause import resume


class Command(BaseCommand):
    help = "Ends a pause of all work."

    def handle(self, *args: Any, **options: Any) -> None:
        ended = resume(actor=command_line_actor())
        self.stdout.write("Work continues." if ended else "Work was not paused.")
