"""`manage.py submit_samples`"""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.urls import reverse

from aiworkstation.access.command_user import get_command_user
from jobs.sample_jobs import submit


class Command(BaseCommand):
    help = "Starts the sample jobs: one ingests bundled documents, the other is a workflow that reads one of them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", default="demo", help="the owner of the jobs (default: demo)")

    def handle(self, *, user: str, **options: Any) -> None:
        for execution in submit(get_command_user(user)):
            self.stdout.write(f"{execution.name}: {reverse('jobs:job', args=[execution.pk])}")
