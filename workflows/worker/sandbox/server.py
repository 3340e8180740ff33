"""The sandbox's fork server: `python -m workflows.worker.sandbox.server SOCKET_FD [MODULE…]`.

It imports neither Django nor the settings, has no database connection, and its parent has emptied its environment. For
each request it forks a child that has limits and a process group of its own. Server and children die with their parent.
A module that the server has imported costs later children nothing.

A request is one JSON packet, which brings two sockets (SCM_RIGHTS). Over the first, the child writes lines of JSON:
`{"progress": [done, total]}`, at last `{"result"}` or `{"error": {"class", "code", "message", …}}`. The second is the
server's own: when the child has ended, the server writes the status of waitpid, and when the caller closes it, the
server kills the child. So nothing that a child says can lead to another process.
"""

import contextlib
import gc
import importlib
import json
import mimetypes
import os
import pwd
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

from aiworkstation.ops.linux import become, die_with_parent, kill_group, use_huge_pages
from workflows.worker.sandbox.confinement import ChildFiles, Confinement
from workflows.worker.sandbox.limits import ChildLimits

OBJECTS_BETWEEN_COLLECTIONS = 20_000
"""Python's default of 700 is for processes that live longer than a child does."""
MAX_TRACEBACK = 20_000
"""The most characters of a traceback. That of a RecursionError may be endless."""


class _Server:
    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.lives: dict[int, socket.socket] = {}
        """The second socket of each child, by process id."""
        self.selector = selectors.DefaultSelector()
        self.confinement = Confinement()
        self.broken: dict[str, Any] | None = None
        """Why a module could not be imported at the start. Empty if all were. Otherwise, no function can run."""
        self.wake_reader, self.wake_writer = os.pipe()
        os.set_blocking(self.wake_writer, False)

    def serve(self) -> None:
        signal.signal(signal.SIGCHLD, self._child_ended)
        # Ctrl-C reaches the whole terminal. The worker decides when the server ends.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with self.selector:
            self.selector.register(self.control, selectors.EVENT_READ)
            self.selector.register(self.wake_reader, selectors.EVENT_READ)
            while True:
                for key, _ in self.selector.select():
                    if key.fileobj is self.control:
                        if not self._accept():
                            return
                    elif key.fd == self.wake_reader:
                        os.read(self.wake_reader, 512)
                        self._reap()
                    else:  # the caller has closed its end
                        self.selector.unregister(key.fileobj)
                        kill_group(key.data)

    def _child_ended(self, number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):
            # A full pipe already wakes the loop.
            os.write(self.wake_writer, b".")

    def _accept(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self.control, 1 << 20, 2)
        if not data:
            return False
        answer, life = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        request = json.loads(data)
        try:
            function = None if self.broken else _imported(request["function"])
        except BaseException as error:  # a module may also end with SystemExit, or with a panic of Rust
            _send(answer, {"error": _error_json(error)})
            function = None
        if function is None:
            if self.broken:
                _send(answer, {"error": self.broken})
            answer.close()
            life.close()
            return True
        child = os.fork()
        if child == 0:
            _live(function, request, answer, self.confinement)
        answer.close()
        # Set here and in the child, whichever comes first: a kill must reach the group.
        with contextlib.suppress(OSError):
            os.setpgid(child, child)
        self.lives[child] = life
        self.selector.register(life, selectors.EVENT_READ, child)
        return True

    def _reap(self) -> None:
        while self.lives:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if child == 0:
                return
            life = self.lives.pop(child)
            # The caller may have hung up before, which unregistered the socket.
            with contextlib.suppress(KeyError):
                self.selector.unregister(life)
            with contextlib.suppress(OSError):
                life.sendall(f"{status}\n".encode())
            life.close()


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


def _live(
    function: Callable[..., Any], request: dict[str, Any], answer: socket.socket, confinement: Confinement
) -> None:
    """Runs the function in the child, sends its result or its error, and ends the process."""
    try:
        os.setpgid(0, 0)
        die_with_parent(signal.SIGKILL)
        # The fork copied the handler of the server, which would write into the server's pipe.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ChildLimits(**request["limits"]).apply()
        files, nowhere = request["files"], os.open(os.devnull, os.O_RDWR)
        # After the limits and before any line of the function: from here on, nothing can be taken back.
        confinement.apply(ChildFiles(tuple(files["reads"]), files["folder"]))
        _close_all_but(answer.fileno(), nowhere)
        result = function(request["arguments"], lambda done, total: _send(answer, {"progress": [done, total]}))
        _send(answer, {"result": result})
    # SystemExit and MemoryError too: the caller must learn why there is no result.
    except BaseException as error:
        _send(answer, {"error": _error_json(error)})
    finally:
        # Without cleanup: the fork copied the server's buffers and exit handlers.
        os._exit(0)


def _close_all_but(kept: int, nowhere: int) -> None:
    """The child inherits its answer's socket and nothing else. What libraries print goes nowhere."""
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.closerange(3, kept)
    os.closerange(kept + 1, 1 << 20)


def _error_json(error: BaseException) -> dict[str, Any]:
    """Returns what the caller gets of an exception.

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
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        become(nobody.pw_uid, nobody.pw_gid)
    die_with_parent(signal.SIGKILL)  # after the change of user, which would undo it
    mimetypes.init()  # it reads files that the children may not read
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    server = _Server(socket.socket(fileno=int(sys.argv[1])))
    try:
        for name in sys.argv[2:]:
            importlib.import_module(name)
    except BaseException as error:  # a module of an extension may raise anything; every call gets the reason
        server.broken = _error_json(error)
    server.serve()


if __name__ == "__main__":
    main()
