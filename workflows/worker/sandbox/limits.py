"""The limits of a child process: how much memory and time it may take."""

import resource
from dataclasses import dataclass


@dataclass(frozen=True)
class ChildLimits:
    """`memory` is a child's address space in bytes. `seconds` is its time, by the clock and on the processor."""

    memory: int
    seconds: float

    def apply(self) -> None:
        """Limits this process, which must be the child. The clock is the parent's business."""
        # At the soft limit of processor time the kernel sends SIGXCPU, at the hard limit SIGKILL.
        seconds = int(self.seconds)
        resource.setrlimit(resource.RLIMIT_AS, (self.memory, self.memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds + 1, seconds + 5))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
