"""The manager of the embedded PostgreSQL: a process that starts the server and stops it after its last client.

    python -m aiworkstation.ops.postgres_manager HOME PROGRAMS

1. Take the lock in HOME and keep it until the end. If another manager has it, exit.
2. If this is root, become the owner of HOME.
3. Create the database cluster if there is none, and start the server. Then close the standard output, which tells the
   parent that the server is ready. Anything written before that is an error message.
4. Greet each client that connects to the socket. Restart the server if it dies.
5. When the last client has left, stop the server. That client waits until its connection closes, at the end of this
   process.
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

FIRST_CLIENT_SECONDS = 5
STOP_SECONDS = 60
FIRST_DELAY, MAX_DELAY = 1.0, 10.0
LOG_BYTES = 10_000_000
MIN_BUFFERS_MB, MAX_BUFFERS_MB = 128, 4096
MEMORY_PER_BUFFERS = 8
"""`shared_buffers` is an eighth of the memory: a search reads thousands of pages, and each page that is not among the
buffers costs a system call. Buffers take up memory only when they fill.
"""

HBA = f"""# Written at each start. Only these roles can connect, with their passwords: the superuser has none.
local all {postgres.ROLE},{postgres.MIGRATOR} scram-sha-256
host all {postgres.ROLE},{postgres.MIGRATOR} 127.0.0.1/32 scram-sha-256
"""


class ManagerError(Exception):
    """The server cannot be started."""


class Server:
    """The PostgreSQL server of one directory, a child of this process."""

    def __init__(self, home: Path, programs: Path) -> None:
        self.home = home
        self.data = home / "data"
        self.programs = programs
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when the server accepts connections."""
        if not self.data.exists():
            self._create_cluster()
        self._end_orphan()
        if not postgres.password_file(self.home, postgres.MIGRATOR).exists():
            self._create_migrator()
        _write(self.data / "pg_hba.conf", HBA)
        with (self.home / postgres.LOG).open("ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.data, *self._options()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A fast shutdown if the manager is killed.
                preexec_fn=lambda: linux.die_with_parent(signal.SIGINT),  # noqa: PLW1509 - one thread
            )
        while not self._is_ready():
            if self.process.poll() is not None:
                raise ManagerError(f"PostgreSQL did not start:\n{_last_bytes(self.home / postgres.LOG)}")
            time.sleep(0.02)

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def stop(self) -> None:
        """Shuts down fast. If that hangs, shuts down immediately, which costs a recovery at the next start."""
        if self.process is None or self.has_ended():
            return
        # Fast shutdown: sessions are cut off, and the data is written to disk.
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # Immediate shutdown: the next start recovers from the write-ahead log.
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()

    def _create_cluster(self) -> None:
        """Creates it under another name first, so that an unfinished one is never taken for a cluster."""
        unfinished = self.home / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        password = secrets.token_urlsafe(24)
        _write(postgres.password_file(self.home, postgres.ROLE), password)
        self._run(
            "initdb",
            f"--pgdata={unfinished}",
            "--username=postgres",
            "--auth=reject",  # until `start` writes the rules
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
            "--lc-messages=C",
        )
        # The role is not a superuser, because a superuser can read and write the manager's files. Only a superuser may
        # create the extension, so it goes into template1, from which new databases are copied.
        self._execute(
            unfinished,
            f"CREATE ROLE {postgres.ROLE} LOGIN CREATEDB PASSWORD '{password}'",
            "CREATE EXTENSION vector",
            f"CREATE DATABASE {postgres.DATABASE} OWNER {postgres.ROLE}",
        )
        unfinished.rename(self.data)

    def _create_migrator(self) -> None:
        """Creates the roles that protect the audit trail. An older cluster gets them at its next start.

        Each statement may run twice: a start that is interrupted leaves no file, and the next one repeats all of them.
        """
        password = secrets.token_urlsafe(24)
        app, owner, migrator = postgres.ROLE, postgres.AUDIT_OWNER, postgres.MIGRATOR
        self._execute(
            self.data,
            *(_create_role(role) for role in (owner, migrator)),
            f"ALTER ROLE {migrator} LOGIN PASSWORD '{password}'",
            f"GRANT {app}, {owner} TO {migrator}",
            # The owner of a database may drop it, and the tables in its schema `public`.
            f"ALTER DATABASE {postgres.DATABASE} OWNER TO {owner}",
            f"GRANT ALL ON DATABASE {postgres.DATABASE} TO {app}",
        )
        self._execute(self.data, f"GRANT ALL ON SCHEMA public TO {app}", database=postgres.DATABASE)
        _write(postgres.password_file(self.home, migrator), password)

    def _execute(self, data: Path, *statements: str, database: str = "template1") -> None:
        """Executes statements in single-user mode, before anyone can connect."""
        text = "".join(f"{statement};\n" for statement in statements)
        self._run("postgres", "--single", "-D", str(data), "-c", "exit_on_error=on", database, text=text)

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
            raise ManagerError(f"{program} failed:\n{done.stdout}")

    def _end_orphan(self) -> None:
        """Ends a server whose manager was killed, and removes its files. The lock excludes other managers."""
        pid_file = self.data / "postmaster.pid"
        pid = int(pid_file.read_text().split("\n", 1)[0] or 0) if pid_file.exists() else 0
        deadline = time.monotonic() + STOP_SECONDS
        # If only the server's main process was killed, the others soon end by themselves. Until then they hold its
        # shared memory, and no other server can start.
        while left := _processes_in(self.data):
            is_late = time.monotonic() > deadline
            for each in left:
                if each == pid or is_late:
                    with suppress(ProcessLookupError):
                        os.kill(each, signal.SIGQUIT if is_late else signal.SIGINT)
            time.sleep(0.05)
        # After a reboot another process may have the same id, and PostgreSQL would wait for that one, or for a zombie.
        if Path("/proc/self").exists():
            pid_file.unlink(missing_ok=True)
            (self.home / f".s.PGSQL.{postgres.PORT}.lock").unlink(missing_ok=True)

    def _options(self) -> list[str]:
        options = {
            "port": str(postgres.PORT),
            "listen_addresses": "",
            "unix_socket_directories": '"' + str(self.home).replace('"', '""') + '"',
            "unix_socket_permissions": "0700",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
            # One runner needs about fifteen, and there is one for each processor. A slot that is not used costs little.
            "max_connections": "300",
            "shared_buffers": f"{_buffers_mb(linux.memory_bytes())}MB",
        }
        if postgres.uses_tcp(self.home):
            options["port"] = self._free_port()
            options["listen_addresses"] = "127.0.0.1"
            options["unix_socket_directories"] = ""
        return [part for name, value in options.items() for part in ("-c", f"{name}={value}")]

    def _free_port(self) -> str:
        """The port of the last start, if it is free, because clients may still have addresses with it."""
        port_file = self.home / "port"
        last = int(port_file.read_text()) if port_file.exists() else 0
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", last))
            except OSError:
                probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        _write(port_file, port)
        return port

    def _is_ready(self) -> bool:
        """Reads the last line of the server's pid file, as pg_ctl does."""
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        assert self.process is not None
        return lines[0] == str(self.process.pid) and len(lines) > 7 and lines[7].strip() == "ready"


class Clients:
    """The clients of the server. Each is a connection, which ends when the client leaves or is killed."""

    def __init__(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._connected: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()
        self._first_deadline = 0.0

    def accept(self) -> None:
        Path(postgres.SOCKET).unlink(missing_ok=True)
        self._listener.bind(postgres.SOCKET)
        self._listener.listen(128)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._first_deadline = time.monotonic() + FIRST_CLIENT_SECONDS

    def accept_no_more(self) -> None:
        """A client that connects from now on, or was not greeted yet, gets no answer and starts the next manager."""
        self._listener.close()

    def any_left(self) -> bool:
        return bool(self._connected) or time.monotonic() < self._first_deadline

    def wait(self, seconds: float) -> None:
        """Notices clients that come and go, for so many seconds."""
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._listener:
                self._greet()
            else:
                assert isinstance(key.fileobj, socket.socket)
                self._forget(key.fileobj)

    def _greet(self) -> None:
        client, _ = self._listener.accept()
        with suppress(ConnectionError):
            client.sendall(postgres.GREETING)
        self._connected.add(client)
        self._selector.register(client, selectors.EVENT_READ)
        self._first_deadline = 0

    def _forget(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        self._connected.remove(client)
        if self._connected:
            client.close()
        else:
            client.detach()  # the last client waits until the kernel closes its connection, when this process ends


def manage(server: Server, clients: Clients) -> None:
    """Returns when the last client has left. A server that has been ready once is restarted until then."""
    clients.accept()
    _redirect_output_to_log()
    not_before, delay = 0.0, FIRST_DELAY
    while clients.any_left():
        clients.wait(seconds=1)
        if not server.has_ended():
            delay = FIRST_DELAY
        elif time.monotonic() >= not_before:
            try:
                server.start()
            except (ManagerError, OSError) as error:
                print(error, flush=True)
                not_before, delay = time.monotonic() + delay, min(2 * delay, MAX_DELAY)
    clients.accept_no_more()


def run(home: Path, programs: Path) -> None:
    os.umask(0o077)
    os.chdir(home)
    _become_owner(home)
    with open(postgres.LOCK, "w") as lock:
        try:
            # The kernel releases the lock however this process ends. It allows one manager for each directory.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        _rotate_log()
        server, clients = Server(home, programs), Clients()
        try:
            server.start()
            manage(server, clients)
        finally:
            # A second SIGTERM must not interrupt the shutdown.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            server.stop()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        run(Path(sys.argv[1]), Path(sys.argv[2]))
    except (ManagerError, OSError) as error:
        sys.exit(str(error))


def _create_role(name: str) -> str:
    exists = f"EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}')"
    return f"DO $$ BEGIN IF NOT {exists} THEN CREATE ROLE {name}; END IF; END $$"


def _buffers_mb(memory: int) -> int:
    return min(max(memory // MEMORY_PER_BUFFERS >> 20, MIN_BUFFERS_MB), MAX_BUFFERS_MB)


def _become_owner(home: Path) -> None:
    owner = home.stat()
    if os.geteuid() == 0:
        linux.become(owner.st_uid, owner.st_gid)


def _redirect_output_to_log() -> None:
    """Closes the standard output, because the process that started the manager reads it until its end."""
    with open(postgres.LOG, "ab") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())


def _rotate_log() -> None:
    log = Path(postgres.LOG)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(f"{postgres.LOG}.1")


def _processes_in(data: Path) -> list[int]:
    """The ids of the processes of a server with this data, its working directory. Linux only: else there are none."""
    return [int(process.name) for process in Path("/proc").glob("[0-9]*") if _serves(process, data)]


def _serves(process: Path, data: Path) -> bool:
    try:
        is_there = os.path.samefile(process / "cwd", data)
        return is_there and (process / "exe").readlink().name.startswith("postgres")
    except OSError:  # it has ended, or is another user's
        return False


def _last_bytes(log: Path, size: int = 2000) -> str:
    return log.read_bytes()[-size:].decode(errors="replace")


def _write(path: Path, text: str) -> None:
    """Writes the whole file or nothing. This process's umask makes it private."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.replace(path)


if __name__ == "__main__":
    main()
