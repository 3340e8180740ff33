"""Functions in child processes with limits, without database or secrets: for input that nobody trusts.

`await sandbox.run("package.module:function", arguments)` calls `function(arguments, report)`, where
`report(done, total)` tells of progress. Arguments and result are JSON. Whatever the function does, only its own process
ends.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflows.errors import ChildCrashed, ChildFailed

ROOT = Path(__file__).resolve().parents[3]
# Libraries in C++ and Rust end their process when an allocation fails, and will again.
_ABORTS = {signal.SIGABRT, signal.SIGILL, signal.SIGTRAP}
Progress = Callable[[int, int], None]
_KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR")


@dataclass(frozen=True)
class Limits:
    """`memory` is the address space of a child in bytes, `seconds` its time, of the clock and of the processor."""

    memory: int
    seconds: float


class Sandbox:
    """A fork server, started at the first call and again when it has died."""

    def __init__(self, *, memory: int, seconds: float, modules: list[str] | None = None) -> None:
        self.limits = Limits(memory, seconds)
        self.modules = modules or []
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    async def run(
        self,
        function: str,
        arguments: dict[str, Any],
        on_progress: Progress | None = None,
        *,
        limits: Limits | None = None,
    ) -> Any:
        """`limits` are those of this call, where it needs others.

        Raises ChildFailed for what the function raised or for a limit that it hit, ChildCrashed for its death.
        """
        limits = limits or self.limits
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            self._request(function, arguments, limits, theirs)
        reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 26)
        call = _Call(on_progress)
        try:
            async with asyncio.timeout(limits.seconds):
                return await call.answer(reader)
        except TimeoutError:
            raise ChildFailed(
                f"reading took longer than {limits.seconds:.0f} s; split the file into smaller ones",
                code="timed_out",
            ) from None
        finally:
            call.kill()
            writer.close()

    def _request(self, function: str, arguments: dict[str, Any], limits: Limits, answer: socket.socket) -> None:
        request = {
            "function": function,
            "arguments": arguments,
            "memory": limits.memory,
            "seconds": limits.seconds,
        }
        data = json.dumps(request).encode()
        for control in (self._connect(), None):
            try:
                socket.send_fds(control or self._connect(restart=True), [data], [answer.fileno()])
            except OSError:
                continue
            return
        raise ChildCrashed("the fork server does not start")

    def _connect(self, *, restart: bool = False) -> socket.socket:
        if self._control is not None and not restart and self._server and self._server.poll() is None:
            return self._control
        self.close()
        # A request is one packet, so that two can never mix.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "workflows.worker.sandbox.server", str(theirs.fileno()), *self.modules],
                pass_fds=[theirs.fileno()],
                env={name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
            )
        self._control = ours
        return ours

    def close(self) -> None:
        """Ends the server, and its children with it."""
        if self._control is not None:
            self._control.close()
        if self._server is not None:
            self._server.kill()
            self._server.wait()
        self._control = self._server = None


class _Call:
    def __init__(self, on_progress: Progress | None) -> None:
        self.on_progress = on_progress
        self.pid: int | None = None
        self.result: dict[str, Any] | None = None

    async def answer(self, reader: asyncio.StreamReader) -> Any:
        status: int | None = None
        while line := await reader.readline():
            message = json.loads(line)
            if "progress" in message and self.on_progress:
                self.on_progress(*message["progress"])
            self.pid = message.get("pid", self.pid)
            if "result" in message or "error" in message:
                self.result = message
            if "exit" in message:
                status, self.pid = message["exit"], None
        return self._end(status)

    def _end(self, status: int | None) -> Any:
        if self.result is None:
            raise _death(status)
        if "result" in self.result:
            return self.result["result"]
        error = self.result["error"]
        message = error["message"] or "it needs more memory than it may use"
        raise ChildFailed(message, code=error["code"] or "failed", error_class=error["class"])

    def kill(self) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


def _death(status: int | None) -> Exception:
    if status is None:
        return ChildCrashed("its fork server died")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU:
            return ChildFailed("reading took too much processor time; split the file", code="timed_out")
        if number in _ABORTS:
            return ChildFailed("it needs more memory than it may use; split the file", code="too_complex")
        return ChildCrashed(f"killed by {signal.Signals(number).name}")
    return ChildCrashed(f"exit {os.waitstatus_to_exitcode(status)} without an answer")
