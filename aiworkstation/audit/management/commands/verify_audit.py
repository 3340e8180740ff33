"""`manage.py verify_audit`: checks that no audit event was changed, deleted or inserted."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aiworkstation.audit.chain import Head, verify
from aiworkstation.audit.published_heads import read_heads


class Command(BaseCommand):
    help = "Checks the chain of audit events and changes nothing. The exit code is 1 if something is wrong."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--head", action="append", default=[], help="a published head: what `audit_head` printed")
        parser.add_argument("--heads", type=Path, help="a file of published heads, as AUDIT_HEAD_FILE has them")

    def handle(self, *args: Any, head: list[str], heads: Path | None, **options: Any) -> None:
        try:
            published = [Head.parse(text) for text in head] + (read_heads(heads) if heads else [])
        except (ValueError, OSError) as error:
            raise CommandError(f"The published heads cannot be read: {error}", returncode=2) from error
        found = verify(published)
        for finding in found.findings:
            self.stdout.write(f"WRONG  {finding}")
        self.stdout.write(
            f"{found.seals} seals over {found.sealed} events checked, {len(found.findings)} problems found."
            f" {found.unsealed} newer events are not sealed yet. Head: {found.head}"
        )
        if found.findings:
            sys.exit(1)
