#!/usr/bin/env python
"""Django's command line, with the embedded database unless DATABASE_URL names another."""

import os
import sys

from aiworkstation.ops import output, startup


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aiworkstation.settings")
    from django.core.management import execute_from_command_line

    with output.quiet_when_reader_is_gone(), startup.prepared(sys.argv[1:]):
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
