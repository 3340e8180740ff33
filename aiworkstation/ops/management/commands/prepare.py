"""`manage.py prepare`: prepares the database and the static files. `manage.py run` calls it."""

from typing import Any

from django.core.management.base import BaseCommand

from aiworkstation.ops import run


class Command(BaseCommand):
    help = "Migrates the database, collects the static files, and creates the superuser demo of an embedded database."

    def handle(self, *args: Any, **options: Any) -> None:
        run.prepare()
