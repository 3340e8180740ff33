"""The stall detector: notices that this process stood still, because it was frozen, got no processor time, or was
blocked by a tool.

Timeouts that expire meanwhile say nothing about the server that was called. They all fire at once when the event loop
continues.
"""

import asyncio
import time

CHECK_EVERY = 0.25
STALL_SECONDS = 1.5
"""The process stood still if there was no check for so long."""
AFTERMATH_SECONDS = 1.0
"""After this the event loop has handled every timeout that expired meanwhile."""


class StallDetector:
    """Checks the clock in the event loop from `start` to `stop`."""

    def __init__(self) -> None:
        self._checked_at = 0.0
        self._resumed_at = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Does nothing if it was started before."""
        if self._timer is None:
            self._checked_at = time.monotonic()
            self._check()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stalled(self) -> bool:
        """Whether the process stood still until just now, or still does."""
        now = time.monotonic()
        return now - self._checked_at > STALL_SECONDS or now - self._resumed_at < AFTERMATH_SECONDS

    def _check(self) -> None:
        now = time.monotonic()
        if now - self._checked_at > STALL_SECONDS:
            # Remembered for a while: the timeouts that expired during the stall may be delivered after this check.
            self._resumed_at = now
        self._checked_at = now
        self._timer = asyncio.get_running_loop().call_later(CHECK_EVERY, self._check)
