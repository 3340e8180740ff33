"""`manage.py unlock USERNAME` or `manage.py unlock --address ADDRESS`"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from aiworkstation.access.command_user import BAD_INPUT
from aiworkstation.access.sign_in import address_key, name_key, unlock
from aiworkstation.audit.origin import command_line_actor


class Command(BaseCommand):
    help = "Lets a user, or an address, try to sign in again after too many failed attempts."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", nargs="?", default="")
        parser.add_argument("--address", default="", help="the address of a client")

    def handle(self, *, username: str, address: str, **options: Any) -> None:
        if bool(username) == bool(address):
            raise CommandError("Name a user or an --address, not both.", returncode=BAD_INPUT)
        key = name_key(username) if username else address_key(address)
        found = unlock(command_line_actor(), key)
        self.stdout.write("Unlocked." if found else "No failed attempts were counted.")
