"""The interface through which a measurement drives a contender. It runs in the interpreter that has its packages."""

import psycopg
from psycopg.rows import TupleRow

from bench import run_environment
from bench.run_environment import database_url


class Skipped(Exception):
    """This contender cannot run on this machine. The message says why."""


class Adapter:
    """Stores and counts tasks of one contender. `variant` is a concurrency or a way of running."""

    def __init__(self, variant: str) -> None:
        self.variant = variant
        self._counter: psycopg.Connection[TupleRow] | None = None

    def prepare(self) -> None:
        """Creates empty tables."""

    def connect(self) -> None:
        """Prepares this process for `send` and `start`."""

    def send(self, number: int) -> int | None:
        """Stores a task that marks its start. Returns the time of the commit in ns if it is before the return."""
        raise NotImplementedError

    def start(self, number: int, steps: int) -> int | None:
        """Stores a workflow of consecutive steps, each of which marks its start. Returns the same as `send`."""
        raise NotImplementedError

    def pending(self) -> int:
        """Returns the number of tasks that are not finished and acknowledged."""
        raise NotImplementedError

    def commands(self) -> list[list[str]]:
        """Returns the commands that start two worker processes."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return run_environment.child_environment()

    def check(self) -> None:
        """Raises an error if the finished work is not recorded as promised."""

    def count(self, query: str, database: str) -> int:
        """Returns the number that the query selects. The connection stays open."""
        if self._counter is None:
            self._counter = psycopg.connect(database_url(database), autocommit=True)
        row = self._counter.execute(query).fetchone()
        return int(row[0]) if row else 0


def fresh_database(name: str) -> None:
    """Creates an empty database, and drops an old one with this name."""
    with psycopg.connect(run_environment.home_url(), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
