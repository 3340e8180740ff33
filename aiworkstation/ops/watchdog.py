"""The watchdog: signs of life, by systemd's protocol sd_notify(3). `manage.py work` sends them, and its parent watches.

The parent is `manage.py run`, or systemd itself (`WatchdogSec=`). Nothing else distinguishes a process that hangs, or
was frozen, from one that works.
"""

import os
import socket
import time
from contextlib import suppress

ADDRESS = "NOTIFY_SOCKET"
ALIVE = b"WATCHDOG=1"
SILENCE = 10.0
"""Seconds without a sign after which a process counts as hung."""
STARTS_WITHIN = 60.0
"""Seconds until the first sign of life, after which a process counts as hung at its start."""
CHECK_GAP = 2.0
"""Seconds between two checks after which the watcher may itself have been frozen, and the process with it."""


def notify_alive() -> None:
    """Sends a sign of life if a watchdog listens. It never waits."""
    address = os.environ.get(ADDRESS, "")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto(ALIVE, _real_address(address))


class Watch:
    """Watches one process at a time, which must have `environment`.

    Its silence counts from its first sign of life. With `starts_within`, that sign must come within so many seconds.
    Without it, a process that never sends one is left alone.
    """

    def __init__(self, silence: float = SILENCE, *, starts_within: float | None = None) -> None:
        self.silence = silence
        self.starts_within = starts_within
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind("")  # the kernel chooses an abstract address
        self._started_at = time.monotonic()
        self._heard_at: float | None = None
        self._checked_at = 0.0

    @property
    def environment(self) -> dict[str, str]:
        return {ADDRESS: "@" + self._socket.getsockname()[1:].decode()}

    def restart(self) -> None:
        """Watches another process from now on."""
        self._has_new_signs()
        self._started_at = time.monotonic()
        self._heard_at = None

    @property
    def has_heard(self) -> bool:
        """Whether the process has given its first sign of life."""
        return self._heard_at is not None

    def is_hung(self) -> bool:
        """Whether the process has been silent for too long. Call it about twice a second."""
        now = time.monotonic()
        was_frozen = self._checked_at > 0 and now - self._checked_at > CHECK_GAP
        if self._has_new_signs() or (was_frozen and self._heard_at is not None):
            self._heard_at = now
        elif was_frozen:
            self._started_at = now
        self._checked_at = now
        if self._heard_at is None:
            return self.starts_within is not None and now - self._started_at > self.starts_within
        return now - self._heard_at > self.silence

    def _has_new_signs(self) -> bool:
        heard = False
        with suppress(BlockingIOError):
            while self._socket.recv(64):
                heard = True
        return heard


def _real_address(address: str) -> str:
    """An abstract address begins with a null byte, which the environment writes as "@"."""
    return "\0" + address[1:] if address.startswith("@") else address
