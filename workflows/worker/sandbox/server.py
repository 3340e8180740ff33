"""The sandbox's fork server: `python -m workflows.worker.sandbox.server SOCKET_FD [MODULE…]`.

It imports neither Django nor the settings, has no database connection, and its parent has emptied its environment. For
each request it forks a child that has limits and a process group of its own. Server and children die with their parent.
A module that the server has imported costs later children nothing.

A request is one JSON packet, which brings a socket of its own (SCM_RIGHTS). Over that socket the child writes lines of
JSON: `{"pid"}` first, then `{"progress": [done, total]}`, at last `{"result"}` or
`{"error": {"class", "code", "message", "retryable", "traceback"}}`. When the child has ended, the server adds
`{"exit": status}`, the status of waitpid, and closes the socket.
"""

import array
import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

from aiworkstation.ops.linux import die_with_parent, use_huge_pages
from workflows.worker.sandbox.limits import ChildLimits

OBJECTS_BETWEEN_COLLECTIONS = 20_000
"""Python's default of 700 is for processes that live longer than a child does."""
MAX_TRACEBACK = 20_000
"""Characters. A traceback without end is that of a RecursionError."""


class _Server:
    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.answers: dict[int, socket.socket] = {}
        self.broken: dict[str, Any] | None = None
        """Why a module that the server should have imported cannot be. Then no function can run."""
        self.wake_reader, self.wake_writer = os.pipe()
        os.set_blocking(self.wake_writer, False)

    def serve(self) -> None:
        signal.signal(signal.SIGCHLD, self._child_ended)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with selectors.DefaultSelector() as selector:
            selector.register(self.control, selectors.EVENT_READ)
            selector.register(self.wake_reader, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fd == self.wake_reader:
                        os.read(self.wake_reader, 512)
                        self._reap()
                    elif not self._accept():
                        return

    def _child_ended(self, number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self.wake_writer, b".")

    def _accept(self) -> bool:
        data, ancillary, _, _ = self.control.recvmsg(1 << 20, socket.CMSG_SPACE(4))
        if not data:
            return False
        descriptors = array.array("i")
        for _, _, content in ancillary:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
        answer = socket.socket(fileno=descriptors[0])
        request = json.loads(data)
        if self.broken:
            _send(answer, {"error": self.broken})
            answer.close()
            return True
        try:
            function = _imported(request["function"])
        except BaseException as error:  # a module may also end with SystemExit, or with a panic of Rust
            _send(answer, {"error": _error_json(error)})
            answer.close()
            return True
        child = os.fork()
        if child == 0:
            self.control.close()
            _live(function, request, answer)
        self.answers[child] = answer
        return True

    def _reap(self) -> None:
        while self.answers:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if child == 0:
                return
            answer = self.answers.pop(child)
            _send(answer, {"exit": status})
            answer.close()


def _imported(name: str) -> Callable[..., Any]:
    """Returns the function of `module:function`. The module's `preload()` runs here once, for all later children."""
    module_name, _, function_name = name.partition(":")
    known = module_name in sys.modules
    module = importlib.import_module(module_name)
    if not known:
        if hasattr(module, "preload"):
            module.preload()
        # A child's collector must not touch the shared memory: that would copy it.
        gc.collect()
        gc.freeze()
        use_huge_pages()
    function: Callable[..., Any] = getattr(module, function_name)
    return function


def _live(function: Callable[..., Any], request: dict[str, Any], answer: socket.socket) -> None:
    """Runs the function in the child, sends its result or its error, and ends the process."""
    try:
        os.setpgid(0, 0)
        die_with_parent(signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Raises if nobody waits for the answer any more.
        answer.sendall(json.dumps({"pid": os.getpid()}).encode() + b"\n")
        ChildLimits(request["memory"], request["seconds"]).apply()
        result = function(request["arguments"], lambda done, total: _send(answer, {"progress": [done, total]}))
        _send(answer, {"result": result})
    except BaseException as error:
        _send(answer, {"error": _error_json(error)})
    finally:
        os._exit(0)


def _error_json(error: BaseException) -> dict[str, Any]:
    """Returns what the caller learns of an exception.

    An exception with a `code` was raised on purpose: its message is for the user, and it is final unless it is
    `retryable`. Any other is a defect. It keeps its class and its traceback, and may be gone at the next attempt.
    """
    kind = type(error)
    described = {"class": f"{kind.__module__}.{kind.__qualname__}", "message": str(error), "traceback": ""}
    if isinstance(error, MemoryError | RecursionError):
        message = "" if isinstance(error, MemoryError) else str(error)
        return described | {"code": "too_complex", "message": message, "retryable": False}
    if isinstance(code := getattr(error, "code", None), str):
        return described | {"code": code, "retryable": bool(getattr(error, "retryable", False))}
    lines = "".join(traceback.format_exception(error))
    return described | {
        "code": "",
        "message": f"{kind.__qualname__}: {error}",
        "retryable": True,
        "traceback": lines[-MAX_TRACEBACK:],
    }


def _send(answer: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        answer.sendall(json.dumps(message).encode() + b"\n")


def main() -> None:
    die_with_parent(signal.SIGKILL)
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    server = _Server(socket.socket(fileno=int(sys.argv[1])))
    try:
        for name in sys.argv[2:]:
            importlib.import_module(name)
    except BaseException as error:  # whatever a module of an extension does; every call gets the reason
        server.broken = _error_json(error)
    server.serve()


if __name__ == "__main__":
    main()
