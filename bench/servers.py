"""Starts the servers of a run: the embedded PostgreSQL of the application, and Redis if it is installed."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from aiworkstation.ops import postgres
from bench import run_environment

SETTINGS = [
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
    "max_connections",
    "jit",
]


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """Runs the servers and yields PostgreSQL's settings. Sets BENCH_REDIS_PORT in the environment."""
    run_environment.BASE.mkdir(parents=True, exist_ok=True)
    if run_environment.SERVER:
        yield _settings()
        return
    with postgres.join(run_environment.BASE), _redis():
        yield _settings()


def _settings() -> dict[str, str]:
    with psycopg.connect(run_environment.home_url()) as connection:
        rows = connection.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", [SETTINGS]
        )
        return {str(name): str(value) for name, value in rows.fetchall()}


@contextmanager
def _redis() -> Iterator[None]:
    program = run_environment.redis_server()
    if program is None:
        yield
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    directory = run_environment.BASE / "redis"
    directory.mkdir(exist_ok=True)
    command = [program, "--port", port, "--bind", "127.0.0.1", "--dir", str(directory), "--logfile", "redis.log"]
    server = subprocess.Popen(command, cwd=directory)
    os.environ["BENCH_REDIS_PORT"] = port
    try:
        _wait_for(int(port))
        yield
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int) -> None:
    for _ in range(100):
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.05)
