"""The beat: one statement a process renews the leases of all steps that it holds, from a thread of its own.

The event loop must tick for it: a process whose loop hangs lets its leases run out. A process that could not renew for
almost a lease stops its own steps, for by then another worker may have them.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from uuid import UUID

import psycopg

from aiworkstation import VERSION
from workflows import statements as sql
from workflows.database import connect_blocking
from workflows.turn import Holder

logger = logging.getLogger(__name__)

REGISTER = """
INSERT INTO workflow_workers (id, kind, host, pid, version, slots, busy, draining, started_at, last_beat)
VALUES (%(id)s, %(kind)s, %(host)s, %(pid)s, %(version)s, %(slots)s, %(busy)s, %(draining)s,
  clock_timestamp(), clock_timestamp())
ON CONFLICT (id) DO UPDATE
SET busy = excluded.busy, slots = excluded.slots, draining = excluded.draining, last_beat = clock_timestamp()
"""
FORGET = "DELETE FROM workflow_workers WHERE id = %(id)s"


class Holding(Protocol):
    """What the beat asks of a runner; read from its thread."""

    holder: Holder
    ticked: float

    stopping: bool

    @property
    def size(self) -> int: ...
    def holds(self) -> Mapping[UUID, Any]: ...


class Beat(threading.Thread):
    """`lost` is called, in this thread, when the leases could not be renewed in time."""

    def __init__(self, runner: Holding, *, kind: str, lost: Callable[[], object]) -> None:
        super().__init__(name="beat", daemon=True)
        self.runner = runner
        self.kind = kind
        self.lost = lost
        self.lease = runner.holder.lease
        self.renewed = time.monotonic()
        self._ended = threading.Event()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def run(self) -> None:
        while not self._ended.wait(0 if self._connection is None else self.lease / 6):
            self._beat()
            if time.monotonic() - self.renewed > self.lease * 0.8 and self.runner.holds():
                self.lost()
            if self._connection is None:
                self._ended.wait(min(1.0, self.lease / 10))
        self._execute(FORGET, {"id": self.runner.holder.id})
        self._close()

    def end(self) -> None:
        self._ended.set()
        self.join(timeout=5)

    def _beat(self) -> None:
        sent = time.monotonic()
        if sent - self.runner.ticked > self.lease / 2:
            return
        held = {token: each.claim.step_id for token, each in self.runner.holds().items()}
        done = self._execute(REGISTER, self._row(len(held)))
        if held and done:
            tokens = {"tokens": list(held), "steps": list(held.values()), "lease": self.lease}
            done = self._execute(sql.RENEW, tokens)
        if done:
            self.renewed = sent

    def _row(self, busy: int) -> dict[str, Any]:
        return {
            "id": self.runner.holder.id,
            "kind": self.kind,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": VERSION,
            "slots": self.runner.size,
            "busy": busy,
            "draining": self.runner.stopping,
        }

    def _execute(self, statement: str, parameters: dict[str, Any]) -> bool:
        try:
            if self._connection is None:
                self._connection = connect_blocking(f"{self.kind} beat")
            self._connection.execute(statement, parameters)
        except psycopg.Error as error:
            logger.warning("no beat: %s", str(error).strip())
            self._close()
            return False
        return True

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
