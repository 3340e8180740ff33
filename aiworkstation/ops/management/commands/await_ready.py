"""`manage.py await_ready`: waits until the application is ready. `manage.py run` calls it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from aiworkstation.ops import run


class Command(BaseCommand):
    help = "Waits for the web server and the workers. Submits the sample jobs on the first start."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run.await_ready()
        except run.NotReady as error:
            raise CommandError(str(error)) from error
