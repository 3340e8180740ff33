"""`manage.py work`: the worker. It starts all of a machine's worker processes."""

import logging
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django_q.models import OrmQ

from aiworkstation.audit import origin
from workflows.models import Pause
from workflows.worker.processes import worker_supervisor
from workflows.worker.sandbox import confinement

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Runs background jobs until it is stopped: steps, plain django-q2 tasks and schedules."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--drain", action="store_true", help="end when no more work is due")

    def handle(self, *args: Any, **options: Any) -> None:
        # django-q2 logs when a plain task begins. Our worker logs its end, which is enough.
        logging.getLogger("django-q").setLevel(logging.WARNING)
        for lacking in confinement.missing():
            logger.warning("This kernel has no %s: child processes that read documents are confined less.", lacking)
        origin.become_worker()
        worker_supervisor(drain=options["drain"]).run()
        if options["drain"]:
            check_drained()


def check_drained() -> None:
    """Raises CommandError if work is due that a pause holds back."""
    pause = Pause.objects.first()
    if pause and OrmQ.objects.filter(lock__lte=timezone.now()).exists():
        reason = f" ({pause.reason})" if pause.reason else ""
        raise CommandError(
            f"{pause.what} paused since {pause.since:%Y-%m-%d %H:%M} UTC{reason}, and jobs or tasks are due. "
            f"{pause.how_to_end}, then drain again."
        )
