"""The retry policy, as data."""

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed attempt is repeated, and how long a step may wait for a busy server.

    The delay after the k-th failed attempt is `first_delay · factor^(k−1)` seconds, at most `max_delay`. A random
    share of it, up to `jitter`, is taken off ("full jitter" could repeat the attempt at once).
    """

    max_attempts: int = 3
    first_delay: float = 1.0
    factor: float = 2.0
    max_delay: float = 60.0
    jitter: float = 0.25
    max_wait: float = 15 * 60.0
    max_crashes: int = 3

    def delay(self, failures: int, given: Sequence[float] = ()) -> float:
        """Seconds to wait after `failures` (1, 2, …) failed attempts. `given` delays replace those of the policy."""
        if given:
            full = given[min(failures, len(given)) - 1]
        else:
            full = min(self.first_delay * self.factor ** min(failures - 1, 32), self.max_delay)
        return full * (1 - self.jitter * random.random())  # noqa: S311 - jitter


DEFAULT = RetryPolicy()
ALONE_AFTER = DEFAULT.max_crashes - 1
"""After this many crashes, a step runs in a process of its own. The SQL in sql/ has the same number."""
