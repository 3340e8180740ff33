"""`manage.py check_engine`: finds rows that break a rule of the engine."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from workflows.engine.consistency import RULES, check


class Command(BaseCommand):
    help = "Checks the engine's rows and changes nothing. The exit code is 1 if a row breaks a rule."

    def handle(self, *args: Any, **options: Any) -> None:
        found = check()
        for finding in found:
            self.stdout.write(f"BROKEN  {finding.object}\n        {finding.rule}")
        self.stdout.write(f"{len(RULES)} rules checked, {len(found)} broken.")
        if found:
            sys.exit(1)
