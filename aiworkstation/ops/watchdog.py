"""Signs of life by systemd's protocol, sd_notify(3): `manage.py work` gives them, and who started it watches.

That is `manage.py run`, or systemd itself (`WatchdogSec=`). A process that is there but does nothing, because it was
frozen or hangs, cannot be told from one that is well by anything else.
"""

import os
import socket
import time
from contextlib import suppress

ADDRESS = "NOTIFY_SOCKET"
ALIVE = b"WATCHDOG=1"
SILENCE = 10.0
"""Seconds without a sign after which a process counts as hung."""
INATTENTION = 2.0
"""Seconds without looking after which the watcher may itself have been frozen, and the other with it."""


def tell_alive() -> None:
    """Give a sign of life. Never waits; does nothing where nobody watches."""
    address = os.environ.get(ADDRESS, "")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto(ALIVE, _unprintable(address))


class Watch:
    """Of one process at a time, which must have `environment`. Its silence counts from its first sign on."""

    def __init__(self, silence: float = SILENCE) -> None:
        self.silence = silence
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind("")  # the kernel chooses an abstract address
        self._heard: float | None = None
        self._looked = 0.0

    @property
    def environment(self) -> dict[str, str]:
        return {ADDRESS: "@" + self._socket.getsockname()[1:].decode()}

    def restart(self) -> None:
        """Another process is watched from now on."""
        self._has_heard()
        self._heard = None

    def finds_it_hung(self) -> bool:
        """To be asked about twice a second."""
        now = time.monotonic()
        if self._has_heard() or (self._heard is not None and now - self._looked > INATTENTION):
            self._heard = now
        self._looked = now
        return self._heard is not None and now - self._heard > self.silence

    def _has_heard(self) -> bool:
        heard = False
        with suppress(BlockingIOError):
            while self._socket.recv(64):
                heard = True
        return heard


def _unprintable(address: str) -> str:
    """An abstract address begins with a null byte, for which the environment has "@"."""
    return "\0" + address[1:] if address.startswith("@") else address
