"""The parts of `manage.py run` that need Django: checks before the start, preparation, and readiness.

The rest is `supervisor.py`, which this process becomes.
"""

import errno
import http.client
import os
import secrets
import socket
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.models.functions import Now
from django.db.utils import OperationalError

from aiworkstation import BASE_DIR
from aiworkstation.ops import config, supervisor

DEMO = "demo"
READY_SECONDS = 120
MIN_POSTGRESQL = 14


class CannotRun(Exception):
    """A setting cannot be used on this machine. The message begins with its name."""


class NotReady(Exception):
    """The web server or the workers did not answer in time."""


def check() -> None:
    """Checks the settings before anything is started. Raises CannotRun."""
    settings = config.load()
    check_address(settings.host, settings.port)
    check_data_dir(settings.data_dir)
    if settings.database_url:
        check_database()


def check_address(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise CannotRun(f"HOST: {host!r} is not an address of this machine ({error})") from error
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            name = "HOST" if error.errno == errno.EADDRNOTAVAIL else "PORT"
            raise CannotRun(f"{name}: cannot listen on {host}:{port} ({error.strerror})") from error


def check_data_dir(data_dir: Path) -> None:
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise CannotRun(f"DATA_DIR: cannot write to {data_dir}")


def check_database() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")
            (has_vector,) = cursor.fetchone()
    except OperationalError as error:
        raise CannotRun(f"DATABASE_URL: cannot connect: {_without_password(error)}") from None
    if not has_vector:
        raise CannotRun("DATABASE_URL: that PostgreSQL has no pgvector. Install the extension pgvector there.")
    if connection.get_database_version() < (MIN_POSTGRESQL,):
        raise CannotRun(f"DATABASE_URL: PostgreSQL {MIN_POSTGRESQL} or newer is needed")


def _without_password(error: Exception) -> str:
    """libpq's messages can repeat parts of the address."""
    password = str(connection.settings_dict["PASSWORD"])
    return str(error).replace(password, "…") if password else str(error)


def supervise(*, reload: bool) -> NoReturn:
    """Turns this process into the supervisor, without the memory that Django takes."""
    settings = config.load()
    arguments = ["--host", settings.host, "--port", str(settings.port)]
    arguments += ["--stop-grace", str(settings.stop_grace)]
    if settings.app_url:
        arguments += ["--url", settings.app_url]
    if not settings.database_url:
        arguments += ["--embedded-in", str(settings.data_dir)]
    if reload:
        arguments.append("--reload")
    sys.stdout.flush()
    os.chdir(BASE_DIR)
    os.execv(sys.executable, [sys.executable, "-m", supervisor.__name__, *arguments])


def prepare() -> None:
    call_command("migrate", interactive=False, verbosity=0)
    turn_off_jit()
    call_command("collectstatic", interactive=False, verbosity=0)
    if get_user_model()._default_manager.exists():
        return
    if config.load().database_url:
        print("There are no users yet. Create one with `manage.py createsuperuser`.", flush=True)
    else:
        create_demo()


def turn_off_jit() -> None:
    """Makes `jit = off` the default of all sessions in this database, or at least of this role's.

    Each connection asks for it already. A pooler may not pass that on, and may give each transaction another session.
    """
    for whose in ("DATABASE %I", "ROLE CURRENT_USER IN DATABASE %I"):
        try:
            with connection.cursor() as cursor:
                # The database's real name: a pooler may give it another.
                cursor.execute(f"DO $$ BEGIN EXECUTE format('ALTER {whose} SET jit = off', current_database()); END $$")
        except DatabaseError:  # the role does not own the database
            continue
        return


def create_demo() -> None:
    """Creates the first superuser of the embedded database and prints its password, which is stored nowhere."""
    users = get_user_model()._default_manager
    _first_start_file().touch()
    password = secrets.token_urlsafe(9)
    users.create_superuser(DEMO, password=password)
    print(f"User {DEMO}, password {password}", end=" ")
    print(f"(shown this once; `manage.py changepassword {DEMO}` sets another)", flush=True)


def await_ready() -> None:
    """Returns when the web server answers and a worker is alive.

    On the first start with the embedded database, it submits the sample jobs. It adds nothing to another database.
    """
    deadline = time.monotonic() + READY_SECONDS
    while not (web_answers() and workers_are_ready()):
        if time.monotonic() > deadline:
            raise NotReady(f"the web server or the workers did not answer within {READY_SECONDS} s")
        time.sleep(0.1)
    if not config.load().database_url and _first_start_file().exists():
        call_command(django_settings.FIRST_START_COMMAND)
        _first_start_file().unlink()


def web_answers() -> bool:
    settings = config.load()
    address = supervisor.local_url(settings.host, settings.port).removeprefix("http://").rstrip("/")
    web = http.client.HTTPConnection(address, timeout=5)
    try:
        web.request("GET", "/", headers={"Host": "localhost"})
        return web.getresponse().status < 500
    except OSError:
        return False
    finally:
        web.close()


def workers_are_ready() -> bool:
    """Whether a worker gave a sign of life recently: within the time of two of them."""
    fresh = timedelta(seconds=config.load().lease_seconds / 3)
    workers = apps.get_model(django_settings.WORKER_MODEL)._default_manager
    return bool(workers.filter(last_beat__gt=Now() - fresh, draining=False).exists())


def _first_start_file() -> Path:
    """A file that exists until the sample jobs are submitted, which may be at a later start."""
    return config.load().data_dir / "first_start"
