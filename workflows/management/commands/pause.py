"""`manage.py pause`: pauses all work on all machines."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from aiworkstation.audit.origin import command_line_actor
from aiworkstation.ops.command_arguments import short_text
from workflows.engine.pause import pause


class Command(BaseCommand):
    help = "Pauses all work: no step and no task starts on any machine until `manage.py resume`."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reason", type=short_text(300, blank=True), default="", help="shown beside the pause")

    def handle(self, *args: Any, **options: Any) -> None:
        is_new = pause(actor=command_line_actor(), reason=options["reason"])
        paused = "Work is paused. Running steps and tasks continue to their end."
        self.stdout.write(paused if is_new else "Work was paused already.")
