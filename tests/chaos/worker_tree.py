"""Trees of worker processes: `manage.py work`, restarted when its supervisor ends or hangs, as `make run` does."""

import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from aiworkstation import BASE_DIR
from aiworkstation.ops.linux import die_with_parent
from aiworkstation.ops.watchdog import Watch
from tests.chaos.wire import Wire

BACK_AFTER = 0.5
STARTS_WITHIN = 20.0
CHILDREN = {"runner 1", "runner 2", "tasks 1", "tasks 2", "maintenance"}
"""Names of a supervisor's children, with WORKERS=2."""


class Tree:
    """A tree with a wire of its own. Its processes are known by their TMPDIR, which even a sandboxed child has."""

    def __init__(self, name: str, wire: Wire, environment: dict[str, str], home: Path) -> None:
        self.name = name
        self.wire = wire
        self.log = home / f"{name}.log"
        self.temporary = home / f"{name}.tmp"
        self.temporary.mkdir()
        self.starts = 0
        self.pids: set[int] = set()
        """The ids of all its processes so far."""
        self.is_watched = True
        """False while the whole machine is frozen, and `make run` with it."""
        self._watch = Watch(starts_within=STARTS_WITHIN)
        self._environment = environment | self._watch.environment | {"TMPDIR": str(self.temporary)}
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._restarter = threading.Thread(target=self._keep_running, name=name, daemon=True)
        self._restarter.start()

    @property
    def has_started(self) -> bool:
        """Whether the supervisor has given a sign of life."""
        return self._watch.has_heard

    @property
    def supervisor(self) -> psutil.Process | None:
        process = self._process
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(process.pid) if process and process.poll() is None else None
        return None

    def children_named(self, role: str) -> list[psutil.Process]:
        """The supervisor's children with this role: `runner`, `tasks`, `maintenance`."""
        return [child for child in children(self.supervisor) if _name(child).startswith(role)]

    @property
    def missing(self) -> set[str]:
        """Names of the supervisor's children that are not running."""
        return CHILDREN - {_name(child) for child in children(self.supervisor)}

    def processes(self) -> list[psutil.Process]:
        """All its processes. The supervisor is the first."""
        supervisor = self.supervisor
        return [supervisor, *children(supervisor, deep=True)] if supervisor else []

    def fork_servers(self) -> list[tuple[psutil.Process, psutil.Process]]:
        """Each fork server, with its runner before it."""
        pairs = [(runner, child) for runner in self.children_named("runner") for child in children(runner)]
        return [(runner, child) for runner, child in pairs if "workflows.worker.sandbox.server" in _command(child)]

    def end(self, seconds: float) -> bool:
        """Sends SIGTERM to the supervisor. Returns False if it did not end in time."""
        self._ending.set()
        if self._process is None:
            return True
        self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def left(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("TMPDIR") == str(self.temporary) and is_alive(process)
        except psutil.Error:
            return False

    def _keep_running(self) -> None:
        """Runs in one thread, because PDEATHSIG is sent when the thread that started a process ends."""
        ended = 0.0
        while not self._ending.is_set():
            self.pids |= {process.pid for process in self.processes()}
            if self._process is not None and self._process.poll() is None:
                ended = time.monotonic()
                if self.is_watched and self._watch.is_hung():
                    self._process.kill()
            elif time.monotonic() - ended > BACK_AFTER:
                self._start()
            self._ending.wait(0.1)
        # This thread must outlive the tree, because its end would kill the tree.
        while self._process and self._process.poll() is None:
            time.sleep(0.1)

    def _start(self) -> None:
        self.starts += 1
        self._watch.restart()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(BASE_DIR / "manage.py"), "work"],
                cwd=BASE_DIR,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                preexec_fn=lambda: die_with_parent(signal.SIGKILL),
            )


def children(process: psutil.Process | None, *, deep: bool = False) -> list[psutil.Process]:
    if process is None:
        return []
    try:
        return [child for child in process.children(recursive=deep) if is_alive(child)]
    except psutil.Error:
        return []


def is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def send(process: psutil.Process, number: signal.Signals) -> None:
    """Sends a signal, but never to another process that has the same id by now."""
    with suppress(psutil.Error):
        process.send_signal(number)


def _name(process: psutil.Process) -> str:
    """The kernel's name of the process. psutil returns the name of the program."""
    with suppress(OSError):
        return Path(f"/proc/{process.pid}/comm").read_text().strip()
    return ""


def _command(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
