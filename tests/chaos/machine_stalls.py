"""Notices when the machine itself stands still, for lack of processor time or disk. That is a fault too."""

import threading
import time

import psycopg

from tests.chaos.database import Database
from tests.chaos.faults import SLOW, STALL, Chaos, Fault

EVERY = 0.2
COMMIT = "SELECT pg_logical_emit_message(true, 'chaos', '')"
"""The smallest transaction that PostgreSQL writes to the disk."""


class StallWitness(threading.Thread):
    """Repeatedly sleeps a moment and commits. Notes a fault when that takes longer than `limit` seconds."""

    def __init__(self, database: Database, chaos: Chaos, limit: float) -> None:
        super().__init__(name="stall witness", daemon=True)
        self.database = database
        self.chaos = chaos
        self.limit = limit
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                with psycopg.connect(self.database.dsn, connect_timeout=2, autocommit=True) as connection:
                    while not self.ended.is_set():
                        self._look(connection)
            except psycopg.Error:  # PostgreSQL was taken away
                self.ended.wait(EVERY)

    def end(self) -> None:
        self.ended.set()
        self.join(10)

    def _look(self, connection: psycopg.Connection[object]) -> None:
        began = time.time()
        self.ended.wait(EVERY)
        connection.execute(COMMIT)
        ended = time.time()
        if ended - began > self.limit and not self.chaos.has_outage(began, ended):
            what = f"a commit came {ended - began:.1f} s late"
            self.chaos.faults.append(Fault(SLOW, STALL, what, began, None, ended))
            print(f"           slow machine: {what}", flush=True)
