"""The beat: one statement a process renews the leases of all steps that it holds, from a thread of its own.

The event loop must tick for it: a process whose loop hangs lets its leases run out. When the last renewal was sent is
told to the runner, for a statement may hang with its connection.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from aiworkstation import VERSION
from workflows import statements as sql
from workflows.database import connect_blocking
from workflows.turn import Holder

logger = logging.getLogger(__name__)

REGISTER = """
INSERT INTO workflow_workers (id, kind, host, pid, version, slots, sizes, busy, draining, started_at, last_beat)
VALUES (%(id)s, %(kind)s, %(host)s, %(pid)s, %(version)s, %(slots)s, %(sizes)s, %(busy)s, %(draining)s,
  clock_timestamp(), clock_timestamp())
ON CONFLICT (id) DO UPDATE
SET busy = excluded.busy, draining = excluded.draining, last_beat = clock_timestamp()
"""
FORGET = "DELETE FROM workflow_workers WHERE id = %(id)s"


class Holding(Protocol):
    """What the beat asks of a runner; read from its thread."""

    holder: Holder
    ticked: float
    renewed: float
    stopping: bool

    @property
    def sizes(self) -> dict[str, int]: ...
    def leases(self) -> Mapping[UUID, UUID]: ...


class Beat(threading.Thread):
    """Says in `runner.renewed` when the last beat that went through was sent, by the monotonic clock."""

    def __init__(self, runner: Holding, *, kind: str) -> None:
        super().__init__(name="beat", daemon=True)
        self.runner = runner
        self.kind = kind
        self.lease = runner.holder.lease
        self._ended = threading.Event()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def run(self) -> None:
        pause = 0.0
        while not self._ended.wait(pause):
            pause = self.lease / 6 if self._has_beaten() else min(1.0, self.lease / 30)
        self._execute(FORGET, {"id": self.runner.holder.id})
        self._close()

    def end(self) -> None:
        self._ended.set()
        self.join(timeout=5)

    def _has_beaten(self) -> bool:
        sent = time.monotonic()
        if sent - self.runner.ticked > self.lease / 2:
            return False
        held = self.runner.leases()
        done = self._execute(REGISTER, self._row(len(held)))
        if held and done:
            tokens = {"tokens": list(held), "steps": list(held.values()), "lease": self.lease}
            done = self._execute(sql.RENEW, tokens)
        if done:
            self.runner.renewed = sent
        return done

    def _row(self, busy: int) -> dict[str, Any]:
        return {
            "id": self.runner.holder.id,
            "kind": self.kind,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": VERSION,
            "slots": sum(self.runner.sizes.values()),
            "sizes": Jsonb(self.runner.sizes),
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
