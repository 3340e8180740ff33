"""Cool-downs: no worker calls a provider for as long as the provider asked one of them to wait.

A key names a provider and a model (`model:<url>:<model>`), or a host (`http:<host>`). This process knows its own
cool-downs and those in the table `workflow_cooldowns`. A step that meets a cool-down waits, which is not an attempt.
"""

import hashlib
import random
import time
from collections.abc import Mapping

from workflows.errors import TryLater

MAX_KEY = 300
"""Characters that the table takes."""

_ends_at: dict[str, float] = {}
"""The end of each cool-down, on the monotonic clock."""


def key_for(*parts: str) -> str:
    """The parts with colons between them. A long key keeps its beginning and a digest of the whole."""
    key = ":".join(parts)
    if len(key) <= MAX_KEY:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{key[: MAX_KEY - len(digest) - 1]}:{digest}"


def start(seconds: Mapping[str, float]) -> None:
    """Starts a cool-down of each key for that number of seconds. A longer one of the same key stays."""
    now = time.monotonic()
    for key, duration in seconds.items():
        _ends_at[key] = max(_ends_at.get(key, 0.0), now + duration)
    for key in [key for key, end in _ends_at.items() if end <= now]:
        del _ends_at[key]


def check(key: str) -> None:
    """Raises TryLater while the key cools down. A random part of the delay spreads out the waiting steps."""
    seconds = _ends_at.get(key, 0.0) - time.monotonic()
    if seconds > 0:
        name = key.split(":", 1)[-1]
        raise TryLater(
            f"{name} is busy: no calls for {seconds:.0f} s",
            code="cooldown",
            delay=seconds + random.random(),  # noqa: S311 - jitter
        )
