"""What a measurement asks of a contestant. Its adapter runs in the interpreter that has its packages."""

import psycopg
from psycopg.rows import TupleRow

from bench import place
from bench.place import database_url


class Skipped(Exception):
    """This contestant cannot be had here; the message says why."""


class Contestant:
    """Two worker processes of it are started by `commands`. `variant` is how many at once, or a way of running."""

    def __init__(self, variant: str) -> None:
        self.variant = variant
        self._counter: psycopg.Connection[TupleRow] | None = None

    def prepare(self) -> None:
        """Makes its tables, empty."""

    def connect(self) -> None:
        """Makes this process one that sends."""

    def send(self, number: int) -> int | None:
        """A task that marks its start. Returns when it was stored, in ns, where that is not on returning."""
        raise NotImplementedError

    def start(self, number: int, steps: int) -> int | None:
        """A workflow of so many steps in a row, each of which marks its start. Returns as `send` does."""
        raise NotImplementedError

    def pending(self) -> int:
        """Tasks that are not done and acknowledged."""
        raise NotImplementedError

    def commands(self) -> list[list[str]]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return place.environment()

    def check(self) -> None:
        """Raises where what ran is not as promised. Called when all is done."""

    def count(self, query: str, database: str) -> int:
        """One number, over a connection that is kept."""
        if self._counter is None:
            self._counter = psycopg.connect(database_url(database), autocommit=True)
        row = self._counter.execute(query).fetchone()
        return int(row[0]) if row else 0


def fresh_database(name: str) -> None:
    with psycopg.connect(database_url("aiworkstation"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
