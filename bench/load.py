"""What processes cost: CPU time of the workers and of the server, and what strangers took of the machine meanwhile."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil
import psycopg
from psycopg.rows import TupleRow

from bench.place import SOCKETS, database_url

CORES = os.cpu_count() or 1
_WAL = "SELECT pg_current_wal_lsn() - '0/0'"


def tree(pids: Iterable[int]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found += [process, *process.children(recursive=True)]
    return found


def postmaster() -> int:
    return int((SOCKETS / "data" / "postmaster.pid").read_text().split("\n", 1)[0])


def _seconds(pids: Iterable[int]) -> float:
    """CPU time of these processes, of their living children, and of those that they have buried."""
    total = 0.0
    for process in tree(pids):
        with suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total


def _busy() -> float:
    used = psutil.cpu_times()
    return float(used.user + used.nice + used.system + used.softirq)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of CPU, the share of the machine that others used, and bytes of WAL."""

    wall: float
    workers: float
    server: float
    others: float
    wal_bytes: int


class Meter:
    def __init__(self, workers: list[int]) -> None:
        self._workers = workers
        self._connection: psycopg.Connection[TupleRow] = psycopg.connect(database_url("aiworkstation"), autocommit=True)
        self._started = self._read()

    def read(self) -> Cost:
        wall, busy, own, workers, server, wal = (
            now - then for now, then in zip(self._read(), self._started, strict=True)
        )
        others = max(busy - own - workers - server, 0.0) / max(wall * CORES, 1e-9)
        return Cost(wall, workers, server, others, int(wal))

    def _read(self) -> tuple[float, ...]:
        row = self._connection.execute(_WAL).fetchone()
        assert row is not None
        own = time.process_time()
        return (
            time.monotonic(),
            _busy(),
            own,
            _seconds(self._workers),
            _seconds([postmaster()]),
            float(row[0]),
        )
