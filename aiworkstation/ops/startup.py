"""Prepares the start of a `manage.py` command: checks the settings, and provides a secret key and a database."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from aiworkstation.ops import config, postgres, secret_key

# Commands that need no database. (`run` starts it itself.)
WITHOUT_DATABASE = {"check", "collectstatic", "diffsettings", "findstatic", "help", "run", "version"}
HELP_FLAGS = {"-h", "--help", "--version"}


@contextmanager
def prepared(arguments: list[str]) -> Iterator[None]:
    """For a command line such as `["migrate", "--plan"]`. Ends the process if a setting cannot be used."""
    command = arguments[0] if arguments else "help"
    try:
        database = _prepare(command, asks_for_help=bool(HELP_FLAGS.intersection(arguments)))
    except (config.ConfigError, postgres.PostgresError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: DATA_DIR: {error}")
    with database:
        yield


def _prepare(command: str, *, asks_for_help: bool) -> AbstractContextManager[object]:
    settings = config.load()
    is_embedded = not settings.database_url
    if not settings.secret_key and (is_embedded or command == "run"):
        secret_key.ensure(settings.data_dir)
    if is_embedded and command not in WITHOUT_DATABASE and not asks_for_help:
        return postgres.join(settings.data_dir)
    return nullcontext()
