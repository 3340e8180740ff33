"""`manage.py rebuild_rollups`: counts all jobs again for the dashboard."""

from typing import Any

from django.core.management.base import BaseCommand

from workflows.engine.rollups import rebuild


class Command(BaseCommand):
    help = (
        "Counts all jobs again for the dashboard and GET /api/metrics/jobs. What deleted and retried jobs did stays. "
        "Meanwhile, the figures are right, but slow to read."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        rebuild()
        self.stdout.write("All jobs that have ended are counted again. Maintenance counts the next ones.")
