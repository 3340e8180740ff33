"""`manage.py work`: the worker."""

from typing import Any

from django.core.management.base import BaseCommand

from workflows.queue.processes import supervisor


class Command(BaseCommand):
    help = "Runs background jobs until it is stopped: steps, plain django-q2 tasks and schedules."

    def handle(self, *args: Any, **options: Any) -> None:
        supervisor().run()
