"""`manage.py sweep_uploads`"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from documents.storage.orphaned_files import Suspicious, sweep


class Command(BaseCommand):
    help = "Deletes stored files that have belonged to no document for a day, such as those of deleted users."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only show what would be deleted")
        parser.add_argument("--even-most", action="store_true", help="delete even more than half of all files")

    def handle(self, *args: Any, dry_run: bool, even_most: bool, **options: Any) -> None:
        try:
            gone = sweep(dry_run=dry_run, even_most=even_most)
        except Suspicious as error:
            raise CommandError(f"{error} To delete them, add --even-most.") from error
        verb = "Would delete" if dry_run else "Deleted"
        self.stdout.write(f"{verb} {gone.files:,} files of {gone.bytes:,} bytes.")
