"""Runs `manage.py` in processes that use the test's own database."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
from django.db import connection

from aiworkstation import BASE_DIR


def database_url() -> str:
    parameters = connection.get_connection_params()
    known = {key: str(parameters[key]) for key in ("user", "password", "host", "port") if parameters.get(key)}
    return f"postgresql:///{parameters['dbname']}?{urlencode(known)}"


def environment(**settings: str) -> dict[str, str]:
    from django.conf import settings as django

    return {
        **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
        "ENV_FILE": "",
        "DATABASE_URL": database_url(),
        "SECRET_KEY": django.SECRET_KEY,
        "DATA_DIR": str(django.CONFIG.data_dir),
        "EXTRA_APPS": "tests.probe",
        "PYTHONWARNINGS": "ignore",
        **settings,
    }


def manage(*arguments: str, log: Path, **settings: str) -> contextlib.AbstractContextManager[psutil.Process]:
    """Runs a command until the block ends, then kills its remaining processes."""
    return python(str(BASE_DIR / "manage.py"), *arguments, log=log, **settings)


@contextlib.contextmanager
def python(*arguments: str, log: Path, **settings: str) -> Iterator[psutil.Process]:
    """The same for any program."""
    command = [sys.executable, *arguments]
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=BASE_DIR, env=environment(**settings), stdout=output, stderr=output)
    tree = psutil.Process(process.pid)
    try:
        yield tree
    finally:
        left = [tree, *descendants(tree)]
        for each in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait(10)


def descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def wait_for(condition: Callable[[], Any], *, seconds: float = 180, what: str = "") -> Any:
    """Waits for the condition's first true value and returns it. Fails with `what` if it does not come in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:.0f} s: {what or condition}")


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
