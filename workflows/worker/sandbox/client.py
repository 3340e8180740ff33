"""The sandbox runs functions on untrusted input, in child processes that have limits and neither database nor secrets.

`await sandbox.run("package.module:function", arguments)` calls `function(arguments, report)`, and `report(done, total)`
reports progress. Arguments and result are JSON. Whatever the function does, it can end only its own process.

The children are forked by a server, `server.py`. Their limits are in `limits.py`.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from aiworkstation import BASE_DIR
from workflows.errors import ChildCrashed, ChildFailed
from workflows.worker.sandbox.confinement import ChildFiles
from workflows.worker.sandbox.limits import ChildLimits

logger = logging.getLogger(__name__)

MORE_MEMORY = "needs more memory than it may use; split the work into smaller parts, or raise CHILD_MEMORY_MB"
SMALLER_PARTS = "split the work into smaller parts, or raise CHILD_SECONDS"
# Libraries in C++ and Rust abort their process when an allocation fails. Another attempt would end in the same way.
_ABORT_SIGNALS = {signal.SIGABRT, signal.SIGILL, signal.SIGTRAP}
MAX_ANSWER = 1 << 26
"""The most bytes of one line of JSON."""
OnProgress = Callable[[int, int], None]
# All that the fork server and its children see of this process's environment.
_KEPT_ENVIRONMENT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR")


class Sandbox:
    """A fork server and its children. The server is started at the first call, and again if it has died."""

    server_module = "workflows.worker.sandbox.server"

    def __init__(self, *, memory: int, seconds: float, modules: list[str] | None = None) -> None:
        self.limits = ChildLimits(memory, seconds)
        self.modules = modules or []
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    async def run(
        self,
        function: str,
        arguments: dict[str, Any],
        on_progress: OnProgress | None = None,
        *,
        limits: ChildLimits | None = None,
        files: ChildFiles | None = None,
    ) -> Any:
        """Returns the function's result. `limits` are for this call; default: those of the sandbox.

        The child reads and writes `files`, and besides them only its code. Its result is not to be trusted: it may
        name any path. Raises ChildFailed if the function raised or hit a limit, and ChildCrashed if its process died.
        """
        limits = limits or self.limits
        request = {"function": function, "arguments": arguments, "limits": asdict(limits)}
        request["files"] = asdict(files or ChildFiles())
        call = _ChildCall(function, on_progress)
        # The child writes its answer to one socket. The other is the fork server's: it reports the end of the child,
        # and when it is closed here, the server kills the child.
        answer, child_answer = socket.socketpair()
        life, child_life = socket.socketpair()
        with child_answer, child_life:
            self._send_request(json.dumps(request).encode(), [child_answer.fileno(), child_life.fileno()])
        answer_reader, answer_writer = await _opened(answer)
        life_reader, life_writer = await _opened(life)
        try:
            async with asyncio.timeout(limits.seconds):
                await call.receive(answer_reader)
                return call.result_or_error(await life_reader.readline())
        except TimeoutError:
            raise ChildFailed(
                f"{function} took longer than {limits.seconds:.0f} s; {SMALLER_PARTS}", code="timed_out"
            ) from None
        finally:
            life_writer.close()
            answer_writer.close()

    def _send_request(self, request: bytes, descriptors: list[int]) -> None:
        # The server may have died since the last call. Then it is started again, once.
        for control in (self._connect(), None):
            try:
                socket.send_fds(control or self._connect(restart=True), [request], descriptors)
            except OSError:
                continue
            return
        raise ChildCrashed("the fork server does not start")

    def _connect(self, *, restart: bool = False) -> socket.socket:
        if self._control is not None and not restart and self._server and self._server.poll() is None:
            return self._control
        self.close()
        # A request is one packet, so two requests cannot mix.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", self.server_module, str(theirs.fileno()), *self.modules],
                pass_fds=[theirs.fileno()],
                env={name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ},
                cwd=BASE_DIR,
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


async def _opened(ours: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    ours.setblocking(False)
    return await asyncio.open_connection(sock=ours, limit=MAX_ANSWER)


class _ChildCall:
    """One call: what its child has sent so far, which may be anything."""

    def __init__(self, function: str, on_progress: OnProgress | None) -> None:
        self.function = function
        self.on_progress = on_progress
        self.result: dict[str, Any] | None = None

    async def receive(self, reader: asyncio.StreamReader) -> None:
        """Reads what the child sends, until it has closed its socket."""
        try:
            while line := await reader.readline():
                self._take(json.loads(line))
        except (ValueError, TypeError, KeyError, RecursionError) as error:  # not JSON, too long, of another shape
            raise ChildCrashed(f"{self.function} sent something that is not an answer") from error

    def _take(self, message: dict[str, Any]) -> None:
        if "progress" in message and self.on_progress:
            done, total = message["progress"]
            self.on_progress(int(done), int(total))
        elif "error" in message:
            error = message["error"]
            texts = {name: str(error[name]) for name in ("class", "code", "message", "traceback")}
            self.result = {"error": texts | {"retryable": error["retryable"] is True}}
        elif "result" in message:
            self.result = {"result": message["result"]}

    def result_or_error(self, life: bytes) -> Any:
        """`life` is the fork server's last line: the status of the child's end, empty if the server died."""
        if self.result is None:
            raise self._death_error(int(life) if life else None)
        if "result" in self.result:
            return self.result["result"]
        error = self.result["error"]
        if error["traceback"]:
            logger.error("%s raised in its child process:\n%s", self.function, error["traceback"])
        message = error["message"] or f"{self.function} {MORE_MEMORY}"
        raise ChildFailed(
            message, code=error["code"] or "failed", error_class=error["class"], retryable=error["retryable"]
        )

    def _death_error(self, status: int | None) -> Exception:
        if status is None:
            return ChildCrashed("its fork server died")
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGXCPU:
                return ChildFailed(f"{self.function} took too much processor time; {SMALLER_PARTS}", code="timed_out")
            if number in _ABORT_SIGNALS:
                return ChildFailed(f"{self.function} {MORE_MEMORY}", code="too_complex")
            return ChildCrashed(f"killed by {signal.Signals(number).name}")
        return ChildCrashed(f"exit {os.waitstatus_to_exitcode(status)} without an answer")
