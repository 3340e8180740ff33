"""`manage.py submit_samples`"""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.sample_jobs import submit


class Command(BaseCommand):
    help = "Starts the sample jobs: a bulk ingestion of bundled documents, and a workflow over one of them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", default="demo", help="whose jobs they are; demo unless told")

    def handle(self, *, user: str, **options: Any) -> None:
        owner = User.objects.filter(username=user).first()
        if owner is None:
            raise CommandError(f"There is no user {user!r}.")
        for execution in submit(owner):
            self.stdout.write(f"{execution.name}: /jobs/{execution.pk}")
