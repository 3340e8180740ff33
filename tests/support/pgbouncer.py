"""A real pgbouncer in front of the test's PostgreSQL."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from aiworkstation.ops import linux


@contextmanager
def pgbouncer(folder: Path, *, pool_mode: str) -> Iterator[str]:
    """Yields the address of the test's database behind it. Skips the test if pgbouncer is not installed."""
    program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        pytest.skip("pgbouncer is not installed: apt-get install pgbouncer")
    server = connection.get_connection_params()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    password = f" password={server['password']}" if server.get("password") else ""
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(f"""
[databases]
behind = host={server["host"]} port={server["port"]} dbname={server["dbname"]} user={server["user"]}{password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {pool_mode}
default_pool_size = 40
ignore_startup_parameters = extra_float_digits
""")
    nobody = pwd.getpwnam("nobody")

    def become_nobody() -> None:
        """It refuses to run as root. The embedded server's sockets are nobody's too."""
        if os.geteuid() == 0:
            linux.become(nobody.pw_uid, nobody.pw_gid)

    with (folder / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen([program, str(configuration)], stdout=log, stderr=log, preexec_fn=become_nobody)
    try:
        address = f"postgresql://anybody@127.0.0.1:{port}/behind"
        _wait_until_it_answers(address, folder / "pgbouncer.log")
        yield address
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_answers(address: str, log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise AssertionError(log.read_text()) from None
            time.sleep(0.05)
        else:
            return
