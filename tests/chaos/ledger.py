"""The ledger: a file in which steps write what they do, independent of the database. Each process appends whole lines.

It uses only the standard library, because children without Django write to it too.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

START, ALIVE, END = "start", "alive", "end"


@dataclass(frozen=True, slots=True)
class Line:
    """`at` is in seconds since the epoch. `holder` is the process with the lease, `kind` the kind of slot."""

    at: float
    word: str
    step: str
    attempt: int
    pid: int
    holder: int
    kind: str


class Writer:
    """Writes the lines of one run of a step."""

    def __init__(self, path: str, step: str, attempt: int, kind: str, holder: int) -> None:
        self.rest = f"{step} {attempt} {os.getpid()} {holder} {kind}\n"
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    def write(self, word: str) -> None:
        os.write(self.file, f"{time.time_ns()} {word} {self.rest}".encode())

    def close(self) -> None:
        os.close(self.file)


def read(path: Path) -> list[Line]:
    lines = []
    for text in path.read_text().splitlines():
        at, word, step, attempt, pid, holder, kind = text.split()
        lines.append(Line(int(at) / 1e9, word, step, int(attempt), int(pid), int(holder), kind))
    return sorted(lines, key=lambda line: line.at)
