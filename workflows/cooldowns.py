"""Leave a provider alone for as long as it asked: what one worker was told holds for all of them.

A key names the provider and the model (`model:<url>:<model>`), or a host (`http:<host>`). This process knows what it
was told itself and what the table says; a step that meets a cool-down waits, which is no attempt.
"""

import random
import time
from collections.abc import Mapping

from workflows.errors import TryLater

DEFAULT_SECONDS = 5.0
"""Where the other side does not say how long."""

_until: dict[str, float] = {}


def hear(seconds: Mapping[str, float]) -> None:
    """Each key rests for so many seconds from now; a longer rest that is known stays."""
    now = time.monotonic()
    for key, rest in seconds.items():
        _until[key] = max(_until.get(key, 0.0), now + rest)
    for key in [key for key, end in _until.items() if end <= now]:
        del _until[key]


def check(key: str) -> None:
    """Raises TryLater while the key rests. Not all of those who wait come back in the same instant."""
    rest = _until.get(key, 0.0) - time.monotonic()
    if rest > 0:
        name = key.split(":", 1)[-1]
        raise TryLater(f"{name} is busy and rests for {rest:.0f} s", code="cooldown", delay=rest + random.random())
