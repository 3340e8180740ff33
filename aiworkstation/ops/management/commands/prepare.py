"""`manage.py prepare`: what `run` does before it starts the services."""

from typing import Any

from django.core.management.base import BaseCommand

from aiworkstation.ops import run


class Command(BaseCommand):
    help = "Migrates the database, collects the static files, and makes the superuser demo."

    def handle(self, *args: Any, **options: Any) -> None:
        run.prepare()
