"""`manage.py prune`: forgets what ended long ago."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from workflows.engine.retention import prune


class Command(BaseCommand):
    help = "Deletes finished jobs with their steps, and django-q2's rows, after RETENTION_DAYS. Audit events stay."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")
        parser.add_argument("--days", type=int, default=None, help="instead of RETENTION_DAYS")

    def handle(self, *args: Any, **options: Any) -> None:
        days = settings.CONFIG.retention_days if options["days"] is None else options["days"]
        if days == 0:
            self.stdout.write("RETENTION_DAYS is 0: everything is kept.")
            return
        gone = prune(days=days, dry_run=options["dry_run"], actor="manage.py prune")
        verb = "Would delete" if options["dry_run"] else "Deleted"
        self.stdout.write(
            f"{verb} {gone.jobs} jobs with {gone.steps} steps, {gone.tasks} results of plain tasks and "
            f"{gone.cooldowns} cool-downs that ended more than {days} days ago."
        )
