"""The PostgreSQL of the chaos run, with direct connections: the workers' wires break."""

from pathlib import Path
from typing import Any

import psutil
import psycopg

from aiworkstation.ops import postgres


class Database:
    """The embedded PostgreSQL. If its manager ends, the run starts it again, as `make run` does."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.manager = postgres.join(data_dir)

    @property
    def dsn(self) -> str:
        return postgres.dsn(self.data_dir)

    @property
    def postmaster(self) -> psutil.Process:
        text = (postgres.home(self.data_dir) / "data" / "postmaster.pid").read_text()
        return psutil.Process(int(text.split("\n", 1)[0]))

    def leave(self) -> None:
        self.manager.leave()

    def answers(self) -> bool:
        try:
            with psycopg.connect(self.dsn, connect_timeout=2, autocommit=True) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def execute(self, statement: str, *parameters: Any) -> list[Any]:
        with psycopg.connect(self.dsn, connect_timeout=2, autocommit=True) as connection:
            return connection.execute(statement.encode(), parameters).fetchall()
