"""`manage.py sweep_uploads`"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from documents.storage.orphaned_files import Suspicious, sweep


class Command(BaseCommand):
    help = "Deletes stored files that no document names any more, such as those of deleted users, after a day."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")
        parser.add_argument("--even-most", action="store_true", help="although they are more than half of all files")

    def handle(self, *args: Any, dry_run: bool, even_most: bool, **options: Any) -> None:
        try:
            gone = sweep(dry_run=dry_run, even_most=even_most)
        except Suspicious as error:
            raise CommandError(f"{error} With --even-most they are.") from error
        verb = "Would delete" if dry_run else "Deleted"
        self.stdout.write(f"{verb} {gone.files:,} files of {gone.bytes:,} bytes.")
