"""Whether this process stood still: frozen, starved of processor, or held up by a tool that lets nobody else run.

What timed out meanwhile says nothing of the other side. The event loop meets all of it at once when it goes on.
"""

import asyncio
import time

EVERY = 0.25
STILL = 1.5
"""Seconds without a beat that count as standing still."""
AFTERMATH = 1.0
"""Seconds after which whatever had timed out has been met."""


class Pulse:
    """Beats in the event loop from `start` to `end`."""

    def __init__(self) -> None:
        self._beaten = 0.0
        self._went_on = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Again does nothing."""
        if self._timer is None:
            self._beaten = time.monotonic()
            self._beat()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stood_still(self) -> bool:
        """Just now, or it has not beaten again since."""
        now = time.monotonic()
        return now - self._beaten > STILL or now - self._went_on < AFTERMATH

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._beaten > STILL:
            self._went_on = now
        self._beaten = now
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._beat)
