"""`manage.py work`: the worker."""

import logging
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from workflows.worker.processes import supervisor


class Command(BaseCommand):
    help = "Runs background jobs until it is stopped: steps, plain django-q2 tasks and schedules."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--drain", action="store_true", help="end when nothing is due any more")

    def handle(self, *args: Any, **options: Any) -> None:
        # It tells the beginning of every plain task; our own worker tells the end.
        logging.getLogger("django-q").setLevel(logging.WARNING)
        supervisor(drain=options["drain"]).run()
