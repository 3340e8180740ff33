"""The supervisor of `manage.py work`: starts the processes, and starts them again.

It has no state and no database connection. It watches progress, not only processes: each child writes a byte down a
pipe for every tick of its loop, and one that is silent for too long is killed with its group. A child that ends for any
reason, also with exit code 0, is started again, unless the supervisor stops. Children die with it (PDEATHSIG). It
gives signs of life itself, to whoever started it.
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
from types import FrameType

from aiworkstation.ops.linux import die_with_parent, kill_group, name_process
from aiworkstation.ops.watchdog import tell_alive

logger = logging.getLogger(__name__)

Body = Callable[[Callable[[], None], Callable[[], bool]], None]
"""A child's work: `body(on_tick, stopping)`."""

BACK_OFF = 1.0
FROZEN = 2.0
"""Seconds between two looks by which the supervisor knows that it was frozen itself."""


@dataclass(slots=True)
class Child:
    name: str
    body: Body
    silence: float
    once: bool = False
    pid: int = 0
    pipe: int = -1
    heard: float = 0.0
    not_before: float = 0.0
    done: bool = False


@dataclass(slots=True)
class Supervisor:
    """`grace` is how long, in seconds, a stopping child may take for the steps that it runs."""

    grace: float
    children: list[Child] = field(default_factory=list)
    stopping: bool = False
    looked: float = 0.0
    """When it last began to listen. Silence is counted up to there: since then it may have been frozen itself."""

    def add(self, name: str, body: Body, *, silence: float, once: bool = False) -> None:
        """`silence` is how long, in seconds, it may be silent. A child that lives `once` has done its work when it ends
        with exit code 0; when all of those have, the supervisor stops.
        """
        self.children.append(Child(name, body, silence, once))

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        # What is loaded by now is shared with the children; the collector would copy it by touching it.
        gc.collect()
        gc.freeze()
        while not self.stopping:
            tell_alive()
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
        elif child.pid and self.looked - child.heard > child.silence:
            logger.error("%s made no progress for %.0f s: killed", child.name, self.looked - child.heard)
            kill_group(child.pid)
            child.heard = now
        if not child.pid and not child.done and now >= child.not_before and not self.stopping:
            self._start(child)

    def _start(self, child: Child) -> None:
        reader, writer = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            for other in self.children:
                if other.pipe >= 0:
                    os.close(other.pipe)
            _live(child, writer, parent)
        os.close(writer)
        now = time.monotonic()
        # One that fails is not started again at once. django-q2 lets a tasks child end after so many tasks.
        child.not_before = now + BACK_OFF
        child.pid, child.pipe, child.heard = pid, reader, now

    def _forget(self, child: Child) -> None:
        # Whatever the child started goes with it.
        kill_group(child.pid)
        os.close(child.pipe)
        child.pid, child.pipe = 0, -1

    def _listen(self, seconds: float) -> None:
        now = time.monotonic()
        if now - self.looked > FROZEN:
            # It was frozen itself, and perhaps they with it: nobody is silent yet.
            for child in self.children:
                child.heard = now
        self.looked = now
        pipes = {child.pipe: child for child in self.children if child.pid}
        try:
            ready, _, _ = select.select(list(pipes), [], [], seconds)
        except InterruptedError:
            return
        for pipe in ready:
            if os.read(pipe, 4096):
                pipes[pipe].heard = time.monotonic()
        if len(ready) == len(pipes):
            time.sleep(min(seconds, 0.05))

    def _end(self) -> None:
        alive = [child for child in self.children if child.pid]
        for child in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + self.grace + 5
        while alive and time.monotonic() < deadline:
            alive = [child for child in alive if _exit_code(child.pid) is None]
            tell_alive()
            time.sleep(0.02)
        for child in alive:
            logger.error("%s did not stop: killed", child.name)
        for child in self.children:
            if child.pid:
                kill_group(child.pid)


def _live(child: Child, pipe: int, parent: int) -> None:
    """A child's whole life."""
    stop = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal stop
        stop = True

    code = 1
    try:
        os.setpgid(0, 0)
        name_process(child.name)
        die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            return
        os.set_blocking(pipe, False)
        signal.signal(signal.SIGTERM, ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        child.body(lambda: _tick(pipe), lambda: stop)
        code = 0
    except BaseException:
        logger.exception("process %d", os.getpid())
    finally:
        # Threads of tools may still run; their steps have been given back.
        os._exit(code)


def _tick(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.write(pipe, b".")


def _exit_code(pid: int) -> int | None:
    """None while it lives; the negative number of the signal that killed it."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return os.waitstatus_to_exitcode(status) if ended else None
