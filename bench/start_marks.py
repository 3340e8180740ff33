"""Marks of the moments when tasks and steps start. The first line of a task calls `mark`.

A mark is a line of fixed length, appended by one write. The size of the file therefore gives the number of marks, and
waiting for them needs no reading.
"""

import os
import time
from typing import NamedTuple

from bench.run_environment import MARKS

_LINE = b"%9d %5d %20d %8d\n"
_LENGTH = len(_LINE % (0, 0, 0, 0))
_file = -1


class Mark(NamedTuple):
    """`at` is in nanoseconds of `time.time_ns`."""

    number: int
    step: int
    at: int
    pid: int


def mark(number: int, step: int = 0) -> None:
    global _file
    now = time.time_ns()
    if _file < 0:
        _file = os.open(MARKS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(_file, _LINE % (number, step, now, os.getpid()))


def count() -> int:
    try:
        return MARKS.stat().st_size // _LENGTH
    except FileNotFoundError:
        return 0


def read() -> list[Mark]:
    if not MARKS.exists():
        return []
    return [Mark(*map(int, line.split())) for line in MARKS.read_bytes().splitlines()]


def clear() -> None:
    """Empties the file. Workers hold it open, so it must not be removed."""
    MARKS.touch()
    os.truncate(MARKS, 0)


def wait_for(number: int, seconds: float, *, every: float = 0.005) -> bool:
    """Returns whether `number` marks were written within the time."""
    deadline = time.monotonic() + seconds
    while count() < number:
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True
