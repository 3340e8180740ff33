"""`manage.py check_engine`: what the sweep would find, and the other rules that the engine's rows keep."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from workflows.engine.consistency import RULES, check


class Command(BaseCommand):
    help = "Checks the engine's rows. Exit code 1 where something is broken; changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        found = check()
        for finding in found:
            self.stdout.write(f"BROKEN  {finding.object}\n        {finding.rule}")
        self.stdout.write(f"{len(RULES) + 1} rules checked, {len(found)} broken.")
        if found:
            sys.exit(1)
