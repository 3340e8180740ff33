"""A TCP proxy that cuts connections."""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

CHUNK = 16 * 1024


@dataclass(frozen=True)
class Cut:
    """Cuts a connection after so many bytes of the request, or at the first byte of the answer."""

    request_bytes: int | None = None
    answer: bool = False


class CuttingProxy:
    """`with CuttingProxy(port, [Cut(answer=True)]) as proxy:` cuts the first connection, and no other."""

    def __init__(self, port: int, cuts: list[Cut]) -> None:
        self._port = port
        self._cuts = cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that waits in accept() is woken only by a shutdown.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                cut = self._cuts.pop(0) if self._cuts else Cut()
                server = socket.create_connection(("127.0.0.1", self._port))
                for each in (
                    lambda c=client, s=server, cut=cut: _pump(c, s, cut.request_bytes),
                    lambda c=client, s=server, cut=cut: _pump(s, c, 0 if cut.answer else None),
                ):
                    threading.Thread(target=each, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket, most: int | None) -> None:
    """Copies bytes, at most so many, and then ends both connections."""
    copied = 0
    with suppress(OSError):
        while chunk := source.recv(CHUNK):
            copied += len(chunk)
            if most is not None and copied > most:
                break
            target.sendall(chunk)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
