"""`manage.py prune`: deletes old finished jobs and task results."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from aiworkstation.ops.command_arguments import whole_number
from aiworkstation.ops.config import MAX_DAYS
from workflows.engine.retention import prune


class Command(BaseCommand):
    help = "Deletes jobs, their steps and task results that finished more than RETENTION_DAYS ago. Keeps audit events."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only print what would be deleted")
        parser.add_argument(
            "--days",
            type=whole_number(1, MAX_DAYS),
            help=f"use this number of days, 1 to {MAX_DAYS:,}, instead of RETENTION_DAYS",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        days = settings.CONFIG.retention_days if options["days"] is None else options["days"]
        if days == 0:
            self.stdout.write("RETENTION_DAYS is 0: everything is kept. To delete old jobs now, add --days.")
            return
        pruned = prune(days=days, dry_run=options["dry_run"], actor="manage.py prune")
        verb = "Would delete" if options["dry_run"] else "Deleted"
        self.stdout.write(
            f"{verb} {pruned.jobs} jobs with {pruned.steps} steps, {pruned.tasks} results of plain tasks and "
            f"{pruned.cooldowns} cool-downs that ended more than {days} days ago."
        )
