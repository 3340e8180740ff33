"""Samples how much memory a tree of processes uses."""

import threading
from contextlib import suppress
from pathlib import Path

from bench.resource_usage import process_tree


class PeakMemory:
    """The highest sampled PSS of a process tree and of a single process. Shared pages of a tree count once."""

    def __init__(self, pid: int, *, every: float) -> None:
        self.tree_mb = 0.0
        self.process_mb = 0.0
        self.samples = 0
        self._pid, self._every = pid, every
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(self._every):
            sizes = [pss_mb(process.pid) for process in process_tree([self._pid])]
            self.samples += 1
            self.tree_mb = max(self.tree_mb, sum(sizes))
            self.process_mb = max(self.process_mb, *sizes, 0.0)


def pss_mb(pid: int) -> float:
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
