"""Prepares the start of a `manage.py` command: checks the settings, and provides a secret key and a database."""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from aiworkstation.ops import config, env_file, postgres, secret_key

# Commands that need no database. (`run` starts it itself.)
WITHOUT_DATABASE = {"check", "collectstatic", "diffsettings", "findstatic", "help", "run", "version"}
WARNED = "ENV_FILE_WARNED"
WITHOUT_KEY = {"help", "version"}
HELP_FLAGS = {"-h", "--help", "--version"}


@contextmanager
def prepared(arguments: list[str]) -> Iterator[None]:
    """For a command line such as `["migrate", "--plan"]`. Ends the process if a setting cannot be used."""
    command = arguments[0] if arguments else "help"
    _warn_of_env_file()
    try:
        database = _prepare(command, asks_for_help=bool(HELP_FLAGS.intersection(arguments)))
    except (config.ConfigError, postgres.PostgresError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: DATA_DIR: {error}")
    with database:
        yield
        # `qcluster` returns while its processes run, and they need the database until their end.
        for child in multiprocessing.active_children():
            if not child.daemon:
                child.join()


def _warn_of_env_file() -> None:
    """Warns once: not again in the processes that this one starts."""
    if config.ENV_FILE and not os.environ.get(WARNED):
        for line in env_file.warnings(Path(config.ENV_FILE)):
            print(f"warning: {line}", file=sys.stderr)
        os.environ[WARNED] = "1"


def _prepare(command: str, *, asks_for_help: bool) -> AbstractContextManager[object]:
    settings = config.load()
    is_embedded = not settings.database_url
    if not settings.secret_key and (is_embedded or command == "run"):
        secret_key.ensure(settings.data_dir)
    if command not in WITHOUT_KEY and not asks_for_help:
        _check_key(settings)
    if is_embedded and command not in WITHOUT_DATABASE and not asks_for_help:
        return postgres.join(settings.data_dir)
    return nullcontext()


def _check_key(settings: config.Config) -> None:
    """Raises ConfigError. The settings check the key again, for processes that start in another way."""
    key = settings.secret_key or secret_key.read(settings.data_dir)
    if reason := config.weakness(key):
        place = f" (from {secret_key.path(settings.data_dir)})" if key else ""
        raise config.ConfigError(f"SECRET_KEY: {reason}{place}")
