"""The keeper of an embedded PostgreSQL: a process that starts the server and stops it behind the last user.

    python -m aiworkstation.ops.postgres_keeper HOME PROGRAMS

1. Take the lock of HOME, which is held until the end; where another keeper has it, go.
2. As root, become the owner of HOME.
3. Make the cluster where there is none, start the server, and say so by closing the standard output. Whatever
   was written to it until then is a complaint.
4. Greet each user that connects to the socket. Start the server again when it dies.
5. When the last user has left, stop the server. He waits for the end of his connection, which is the end of
   this process.
"""

import fcntl
import os
import secrets
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from aiworkstation.ops import linux, postgres

FIRST_USER_SECONDS = 5
STOP_SECONDS = 60
LOG_BYTES = 10_000_000
LEAST_BUFFERS_MB, MOST_BUFFERS_MB = 128, 4096
SHARE_OF_BUFFERS = 8
"""One part in so many of the memory: a search reads thousands of pages, each by a call to the kernel where it is not
among the buffers. They are taken up as they fill."""


class KeeperError(Exception):
    """The server cannot be started."""


class Server:
    """The PostgreSQL of one directory, run by this process."""

    def __init__(self, home: Path, programs: Path) -> None:
        self.home = home
        self.data = home / "data"
        self.programs = programs
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when the server takes connections."""
        if not self.data.exists():
            self._make_cluster()
        self._end_orphan()
        with (self.home / postgres.LOG).open("ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.data, *self._options()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A fast shutdown, should the keeper be killed.
                preexec_fn=lambda: linux.die_with_parent(signal.SIGINT),  # noqa: PLW1509 - one thread
            )
        while not self._is_ready():
            if self.process.poll() is not None:
                raise KeeperError(f"PostgreSQL did not start:\n{_tail(self.home / postgres.LOG)}")
            time.sleep(0.02)

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def stop(self) -> None:
        """A fast shutdown; an immediate one, which costs a recovery at the next start, when that hangs."""
        if self.process is None or self.has_ended():
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()

    def _make_cluster(self) -> None:
        """In a directory of another name first, so that an interrupted one is not taken for a cluster."""
        unfinished = self.home / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        password = secrets.token_urlsafe(24)
        _write(self.home / "password", password)
        self._run(
            "initdb",
            f"--pgdata={unfinished}",
            "--username=postgres",
            # The socket stands in a private directory; TCP asks for the password.
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
            "--lc-messages=C",
        )
        # The role is no superuser, whom PostgreSQL would let read and write the keeper's files.
        # New databases have pgvector by template1, since only a superuser may create that extension.
        self._execute(
            unfinished,
            f"CREATE ROLE {postgres.ROLE} LOGIN CREATEDB PASSWORD '{password}'",
            "CREATE EXTENSION vector",
            f"CREATE DATABASE {postgres.DATABASE} OWNER {postgres.ROLE}",
        )
        unfinished.rename(self.data)

    def _execute(self, data: Path, *statements: str) -> None:
        """In single-user mode, before anybody can connect."""
        text = "".join(f"{statement};\n" for statement in statements)
        self._run("postgres", "--single", "-D", str(data), "-c", "exit_on_error=on", "template1", text=text)

    def _run(self, program: str, *arguments: str, text: str = "") -> None:
        done = subprocess.run(
            [self.programs / program, *arguments],
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            preexec_fn=lambda: linux.die_with_parent(signal.SIGKILL),
            check=False,
        )
        if done.returncode != 0:
            raise KeeperError(f"{program} failed:\n{done.stdout}")

    def _end_orphan(self) -> None:
        """Remove what a killed server left behind. No other keeper has one here, says the lock."""
        pid_file = self.data / "postmaster.pid"
        if pid_file.exists():
            self._end(int(pid_file.read_text().split("\n", 1)[0] or 0))
        # PostgreSQL would wait for whichever process has those numbers now, after a reboot or as a zombie.
        if Path("/proc/self").exists():
            pid_file.unlink(missing_ok=True)
            (self.home / f".s.PGSQL.{postgres.PORT}.lock").unlink(missing_ok=True)

    def _end(self, pid: int) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        while _works_in(pid, self.data):
            os.kill(pid, signal.SIGINT if time.monotonic() < deadline else signal.SIGQUIT)
            time.sleep(0.1)

    def _options(self) -> list[str]:
        options = {
            "port": str(postgres.PORT),
            "listen_addresses": "",
            "unix_socket_directories": '"' + str(self.home).replace('"', '""') + '"',
            "unix_socket_permissions": "0700",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
            "shared_buffers": f"{_buffers_mb(linux.memory())}MB",
        }
        if postgres.uses_tcp(self.home):
            options["port"] = self._free_port()
            options["listen_addresses"] = "127.0.0.1"
            options["unix_socket_directories"] = ""
        return [part for name, value in options.items() for part in ("-c", f"{name}={value}")]

    def _free_port(self) -> str:
        """The port of the last start if it is free, for users hold addresses with it."""
        kept = self.home / "port"
        wanted = int(kept.read_text()) if kept.exists() else 0
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        _write(kept, port)
        return port

    def _is_ready(self) -> bool:
        """By the last line of the server's pid file, as pg_ctl does it."""
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        assert self.process is not None
        return lines[0] == str(self.process.pid) and len(lines) > 7 and lines[7].strip() == "ready"


class Users:
    """The users of the server, each a connection, which ends when its user leaves or is killed."""

    def __init__(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._connected: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()
        self._first_deadline = 0.0

    def invite(self) -> None:
        Path(postgres.SOCKET).unlink(missing_ok=True)
        self._listener.bind(postgres.SOCKET)
        self._listener.listen(128)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._first_deadline = time.monotonic() + FIRST_USER_SECONDS

    def turn_away(self) -> None:
        """Who connects from now on, or has not been greeted, finds nobody and starts the next keeper."""
        self._listener.close()

    def are_there(self) -> bool:
        return bool(self._connected) or time.monotonic() < self._first_deadline

    def wait(self, seconds: float) -> None:
        """Note who comes and goes."""
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._listener:
                self._greet()
            else:
                assert isinstance(key.fileobj, socket.socket)
                self._dismiss(key.fileobj)

    def _greet(self) -> None:
        user, _ = self._listener.accept()
        with suppress(ConnectionError):
            user.sendall(postgres.GREETING)
        self._connected.add(user)
        self._selector.register(user, selectors.EVENT_READ)
        self._first_deadline = 0

    def _dismiss(self, user: socket.socket) -> None:
        self._selector.unregister(user)
        self._connected.remove(user)
        if self._connected:
            user.close()
        else:
            user.detach()  # the last one waits until the kernel closes it, at the end of this process


def keep(server: Server, users: Users) -> None:
    """Returns when the last user has left."""
    users.invite()
    _become_silent()
    while users.are_there():
        users.wait(seconds=1)
        if server.has_ended():
            server.start()
    users.turn_away()


def run(home: Path, programs: Path) -> None:
    os.umask(0o077)
    os.chdir(home)
    _become_owner(home)
    with open(postgres.LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        _rotate_log()
        server, users = Server(home, programs), Users()
        try:
            server.start()
            keep(server, users)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            server.stop()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        run(Path(sys.argv[1]), Path(sys.argv[2]))
    except (KeeperError, OSError) as error:
        sys.exit(str(error))


def _buffers_mb(memory: int) -> int:
    return min(max(memory // SHARE_OF_BUFFERS >> 20, LEAST_BUFFERS_MB), MOST_BUFFERS_MB)


def _become_owner(home: Path) -> None:
    owner = home.stat()
    if os.geteuid() == 0:
        linux.become(owner.st_uid, owner.st_gid)


def _become_silent() -> None:
    """Whoever started the keeper reads its output until it is closed."""
    with open(postgres.LOG, "ab") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())


def _rotate_log() -> None:
    log = Path(postgres.LOG)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(f"{postgres.LOG}.1")


def _works_in(pid: int, directory: Path) -> bool:
    """Whether this process's working directory is that one, as a server's is its data."""
    try:
        return os.path.samefile(f"/proc/{pid}/cwd", directory)
    except OSError:
        return False


def _tail(log: Path, size: int = 2000) -> str:
    return log.read_bytes()[-size:].decode(errors="replace")


def _write(path: Path, text: str) -> None:
    """Whole or not at all; private by this process's umask."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.replace(path)


if __name__ == "__main__":
    main()
