"""Cool-downs: leave a provider alone for as long as it asked. What one worker was told holds for all of them.

A key names a provider and a model (`model:<url>:<model>`), or a host (`http:<host>`). This process knows what it was
told itself and what the table `workflow_cooldowns` says. A step that meets a cool-down waits, which is no attempt.
"""

import random
import time
from collections.abc import Mapping

from workflows.errors import TryLater

DEFAULT_SECONDS = 5.0
"""If the other side does not say how long."""

_ends_at: dict[str, float] = {}
"""By key, on the monotonic clock."""


def learn(seconds: Mapping[str, float]) -> None:
    """Each key cools down for so many seconds from now. A longer cool-down that is known stays."""
    now = time.monotonic()
    for key, duration in seconds.items():
        _ends_at[key] = max(_ends_at.get(key, 0.0), now + duration)
    for key in [key for key, end in _ends_at.items() if end <= now]:
        del _ends_at[key]


def check(key: str) -> None:
    """Raises TryLater while the key cools down. The delay is random, so that not all waiting steps return at once."""
    seconds = _ends_at.get(key, 0.0) - time.monotonic()
    if seconds > 0:
        name = key.split(":", 1)[-1]
        raise TryLater(
            f"{name} is busy and rests for {seconds:.0f} s", code="cooldown", delay=seconds + random.random()
        )
