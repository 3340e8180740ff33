"""Measures the CPU time of the workers and of PostgreSQL, and the share of the machine that other processes used."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil
import psycopg
from psycopg.rows import TupleRow

from bench.run_environment import SERVER, SOCKETS, home_url

CORES = os.cpu_count() or 1
_WAL = "SELECT pg_current_wal_lsn() - '0/0'"


def process_tree(pids: Iterable[int]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found += [process, *process.children(recursive=True)]
    return found


def postmaster() -> int:
    """Returns 0 if the server runs on another machine."""
    if SERVER:
        with psycopg.connect(home_url()) as connection, suppress(psutil.NoSuchProcess):
            parent = psutil.Process(connection.info.backend_pid).parent()
            return parent.pid if parent and parent.name() == "postgres" else 0
        return 0
    return int((SOCKETS / "data" / "postmaster.pid").read_text().split("\n", 1)[0])


def _cpu_seconds(pids: Iterable[int]) -> float:
    """Returns the CPU time of these processes and of their children, finished ones included."""
    total = 0.0
    for process in process_tree(pids):
        with suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total


def _machine_cpu_seconds() -> float:
    used = psutil.cpu_times()
    return float(used.user + used.nice + used.system + used.softirq)


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """CPU seconds of the workers and the server, the share of the machine that others used, and bytes of WAL."""

    wall: float
    workers: float
    server: float
    others: float
    wal_bytes: int


class UsageMeter:
    def __init__(self, workers: list[int]) -> None:
        self._workers = workers
        self._connection: psycopg.Connection[TupleRow] = psycopg.connect(home_url(), autocommit=True)
        self._started = self._read()

    def read(self) -> ResourceUsage:
        wall, busy, own, workers, server, wal = (
            now - then for now, then in zip(self._read(), self._started, strict=True)
        )
        others = max(busy - own - workers - server, 0.0) / max(wall * CORES, 1e-9)
        return ResourceUsage(wall, workers, server, others, int(wal))

    def _read(self) -> tuple[float, ...]:
        row = self._connection.execute(_WAL).fetchone()
        assert row is not None
        own = time.process_time()
        return (
            time.monotonic(),
            _machine_cpu_seconds(),
            own,
            _cpu_seconds(self._workers),
            _cpu_seconds([postmaster()]),
            float(row[0]),
        )
