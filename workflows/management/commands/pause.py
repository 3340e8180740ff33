"""`manage.py pause`: stops all machines from beginning anything."""

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from workflows.engine.pause import pause


class Command(BaseCommand):
    help = "Pauses all work: no step and no task begins on any machine until `manage.py resume`."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reason", default="", help="shown to everybody who wonders")

    def handle(self, *args: Any, **options: Any) -> None:
        is_new = pause(actor=f"{getpass.getuser()} at the command line", reason=options["reason"])
        self.stdout.write("Paused. What runs goes on to its end." if is_new else "Work was paused already.")
