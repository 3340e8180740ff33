"""The supervisor of the worker: `manage.py work` is this process. It forks the worker's processes and restarts them.

(`aiworkstation.ops.supervisor` is another one: it supervises the web server and `manage.py work`.)

It has neither state nor a database connection. It watches progress, not only processes: each child writes a byte into a
pipe for every tick of its loop, and a child that is silent for too long is killed together with its process group. A
child that ends for any reason, even with exit code 0, is started again, unless the supervisor stops. Children die with
the supervisor (PDEATHSIG). The supervisor itself gives signs of life to the process that started it.
"""

import contextlib
import gc
import logging
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from types import FrameType

from django.conf import settings

from aiworkstation import tracing
from aiworkstation.ops.linux import die_with_parent, kill_group, name_process
from aiworkstation.ops.watchdog import notify_alive

logger = logging.getLogger(__name__)

ChildBody = Callable[[Callable[[], None], Callable[[], bool]], None]
"""The body of a child: `body(on_tick, stopping)`. It calls `on_tick` often, and ends when `stopping()` is true."""

BACK_OFF = 1.0
FROZEN_AFTER = 2.0
"""Seconds between two rounds after which the supervisor assumes that it was frozen itself."""


@dataclass(slots=True)
class Child:
    """A process to keep alive: how often it must tick, and the state of its present run. Times are monotonic."""

    name: str
    body: ChildBody
    silence: float
    once: bool = False
    pid: int = 0
    pipe: int = -1
    heard_at: float = 0.0
    not_before: float = 0.0
    done: bool = False


@dataclass(slots=True)
class WorkerSupervisor:
    """`grace` is the number of seconds that a stopping child has for the steps that it runs."""

    grace: float
    children: list[Child] = field(default_factory=list)
    stopping: bool = False
    listened_at: float = 0.0
    """When it last began to listen. Silence counts up to this time, because it may have been frozen itself since."""

    def add(self, name: str, body: ChildBody, *, silence: float, once: bool = False) -> None:
        """Adds a child that may be silent for `silence` seconds.

        A child with `once` is done when it ends with exit code 0. When all of those are done, the supervisor stops.
        """
        self.children.append(Child(name, body, silence, once))

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        # The children share the memory that is in use now. Their collectors must not touch it: that would copy it.
        gc.collect()
        gc.freeze()
        while not self.stopping:
            # Here and not in a thread: a supervisor whose loop hangs must be killed by the process that started it.
            notify_alive()
            for child in self.children:
                self._keep_alive(child)
            if any(child.once for child in self.children) and all(child.done for child in self.children if child.once):
                break
            self._listen(0.2)
        self._end()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _keep_alive(self, child: Child) -> None:
        now = time.monotonic()
        if child.pid and (code := _exit_code(child.pid)) is not None:
            child.done = child.once and code == 0
            if not child.done:
                level = logging.WARNING if code else logging.INFO
                logger.log(level, "%s ended (exit %d) and is started again", child.name, code)
            if code == 0:
                child.not_before = now
            self._forget(child)
        elif child.pid and self.listened_at - child.heard_at > child.silence:
            logger.error("%s made no progress for %.0f s and is killed", child.name, self.listened_at - child.heard_at)
            kill_group(child.pid)
            # A killed child is reaped in a later round. Until then, it is not killed in every round.
            child.heard_at = now
        if not child.pid and not child.done and now >= child.not_before and not self.stopping:
            try:
                self._start(child)
            except OSError as error:  # no memory, or too many processes
                logger.error("%s could not be started: %s", child.name, error)
                child.not_before = now + BACK_OFF

    def _start(self, child: Child) -> None:
        reader, writer = os.pipe()
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            os.close(reader)
            os.close(writer)
            raise
        if pid == 0:
            os.close(reader)
            # The fork copied the supervisor's ends of its siblings' pipes, which are not for this child.
            for other in self.children:
                if other.pipe >= 0:
                    os.close(other.pipe)
            _run_child(child, writer, parent)
        os.close(writer)
        now = time.monotonic()
        # A child that fails must not restart at once. (A tasks child also ends, with code 0, after a number of tasks.)
        child.not_before = now + BACK_OFF
        child.pid, child.pipe, child.heard_at = pid, reader, now

    def _forget(self, child: Child) -> None:
        # What the child has started must end with it.
        kill_group(child.pid)
        os.close(child.pipe)
        child.pid, child.pipe = 0, -1

    def _listen(self, seconds: float) -> None:
        now = time.monotonic()
        if now - self.listened_at > FROZEN_AFTER:
            # The supervisor was frozen, and perhaps the children too: their silence starts again.
            for child in self.children:
                child.heard_at = now
        self.listened_at = now
        pipes = {child.pipe: child for child in self.children if child.pid}
        try:
            ready, _, _ = select.select(list(pipes), [], [], seconds)
        except InterruptedError:
            return
        for pipe in ready:
            if os.read(pipe, 4096):
                pipes[pipe].heard_at = time.monotonic()
        if len(ready) == len(pipes):
            # All children tick: without this pause, the loop would turn as often as they do.
            time.sleep(min(seconds, 0.05))

    def _end(self) -> None:
        alive = [child for child in self.children if child.pid]
        for child in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGTERM)
        # Five seconds more than the children have, so that they can still give back their steps.
        deadline = time.monotonic() + self.grace + 5
        while alive and time.monotonic() < deadline:
            alive = [child for child in alive if _exit_code(child.pid) is None]
            notify_alive()
            time.sleep(0.02)
        for child in alive:
            logger.error("%s did not stop in time and is killed", child.name)
        for child in self.children:
            if child.pid:
                kill_group(child.pid)


def _run_child(child: Child, pipe: int, parent: int) -> None:
    """Runs the body in the child and ends the process."""
    stop = False

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        nonlocal stop
        stop = True

    code = 1
    try:
        # A group of its own, so that whatever the child starts can be killed with it.
        os.setpgid(0, 0)
        name_process(child.name)
        die_with_parent(signal.SIGKILL)
        # The parent may have died before `die_with_parent`, which then never fires.
        if os.getppid() != parent:
            return
        os.set_blocking(pipe, False)
        signal.signal(signal.SIGTERM, on_sigterm)
        # Ctrl-C reaches the whole terminal. The supervisor passes it on as SIGTERM.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        child.body(lambda: _tick(pipe), lambda: stop)
        code = 0
    except BaseException:
        logger.exception("process %d", os.getpid())
    finally:
        _send_what_is_left()
        # Without waiting for threads: tools may still run in them, but their steps were given back to the queue.
        os._exit(code)


def _send_what_is_left() -> None:
    """Traces and error reports are sent by threads, which end with the process."""
    tracing.flush()
    if settings.CONFIG.sentry_dsn:
        import_module("workflows.monitoring.sentry").flush()


def _tick(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):
        # A full pipe means that the supervisor is behind: it has enough ticks to read.
        os.write(pipe, b".")


def _exit_code(pid: int) -> int | None:
    """Returns None while the process lives, and the negative number of the signal if one killed it."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return os.waitstatus_to_exitcode(status) if ended else None
