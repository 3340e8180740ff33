"""`manage.py resume`: the end of a pause."""

import getpass
from typing import Any

from django.core.management.base import BaseCommand

from workflows.engine.pause import resume


class Command(BaseCommand):
    help = "Ends a pause of all work."

    def handle(self, *args: Any, **options: Any) -> None:
        ended = resume(actor=f"{getpass.getuser()} at the command line")
        self.stdout.write("Work goes on." if ended else "Work was not paused.")
