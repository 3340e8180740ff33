"""`manage.py openapi`: prints the OpenAPI document. It needs no database."""

from typing import Any

from django.core.management.base import BaseCommand

from aiworkstation.web.openapi import document


class Command(BaseCommand):
    help = "Prints the OpenAPI document of the API, also of the apps in EXTRA_APPS."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(document().decode(), ending="")
