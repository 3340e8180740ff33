"""Retry policy as data."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed attempt is tried again, and how long a wait for a busy other side may last.

    The delay after the k-th failed attempt is `first_delay · factor^(k−1)`, at most `max_delay`, in seconds, and up to
    `jitter` of it is taken off at random ("full jitter" would let a retry follow at once).
    """

    max_attempts: int = 3
    first_delay: float = 1.0
    factor: float = 2.0
    max_delay: float = 60.0
    jitter: float = 0.25
    max_wait: float = 15 * 60.0
    max_crashes: int = 3

    def delay(self, failures: int) -> float:
        """Seconds to wait after `failures` (1, 2, …) failed attempts."""
        full = min(self.first_delay * self.factor ** min(failures - 1, 32), self.max_delay)
        return full * (1 - self.jitter * random.random())


DEFAULT = RetryPolicy()
ALONE_AFTER = DEFAULT.max_crashes - 1
"""Crashes that a step has seen when it runs alone, in a process of its own (sql/ has the same number)."""
