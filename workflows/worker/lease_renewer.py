"""The lease renewer: a thread with a connection of its own that renews the leases of all steps of its process.

It renews only while the event loop ticks, so the leases of a process whose loop hangs run out. It also keeps the
process's row in `workflow_workers`.
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
from workflows.database_connections import connect_blocking
from workflows.engine.leases import RENEW
from workflows.engine.turn import WorkerInfo

logger = logging.getLogger(__name__)

REGISTER = """
INSERT INTO workflow_workers (id, kind, host, pid, version, slots, sizes, lacks, busy, draining, started_at, last_beat)
VALUES (%(id)s, %(kind)s, %(host)s, %(pid)s, %(version)s, %(slots)s, %(sizes)s, %(lacks)s, %(busy)s, %(draining)s,
  clock_timestamp(), clock_timestamp())
ON CONFLICT (id) DO UPDATE
SET busy = excluded.busy, lacks = excluded.lacks, draining = excluded.draining OR workflow_workers.is_drained,
  last_beat = clock_timestamp()
RETURNING is_drained
"""
FORGET = "DELETE FROM workflow_workers WHERE id = %(id)s"


class LeaseHolder(Protocol):
    """The part of a runner that the renewer needs. The renewer's thread reads it."""

    identity: WorkerInfo
    ticked_at: float
    renewed_at: float
    stopping: bool
    is_drained: bool
    lacks: dict[str, str]

    @property
    def sizes(self) -> dict[str, int]: ...
    def leases(self) -> Mapping[UUID, UUID]: ...


class LeaseRenewer(threading.Thread):
    """Sets `runner.renewed_at` to when the last successful renewal was sent (monotonic): a later one may hang."""

    def __init__(self, runner: LeaseHolder, *, kind: str) -> None:
        super().__init__(name="lease renewer", daemon=True)
        self.runner = runner
        self.kind = kind
        self.lease = runner.identity.lease
        self._ended = threading.Event()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def run(self) -> None:
        # At once: the row in `workflow_workers` should be there before the first step runs.
        pause = 0.0
        while not self._ended.wait(pause):
            pause = self.lease / 6 if self._renew() else min(1.0, self.lease / 30)
        # If the process is killed, maintenance deletes the row after ten leases.
        self._execute(FORGET, {"id": self.runner.identity.id})
        self._close()

    def stop(self) -> None:
        self._ended.set()
        self.join(timeout=5)

    def _renew(self) -> bool:
        sent = time.monotonic()
        # The event loop stands still. Its steps make no progress and cannot be stopped, so others may have them.
        if sent - self.runner.ticked_at > self.lease / 2:
            return False
        held = self.runner.leases()
        # The process's row first: it also shows that the connection works, while there is nothing to renew.
        done = self._register(len(held))
        if held and done:
            tokens = {"tokens": list(held), "steps": list(held.values()), "lease": self.lease}
            done = self._execute(RENEW, tokens) is not None
        if done:
            # When it was sent, not when the answer came: the database counts the lease from a moment in between.
            self.runner.renewed_at = sent
        return done

    def _register(self, busy: int) -> bool:
        cursor = self._execute(REGISTER, self._row(busy))
        row = cursor.fetchone() if cursor else None
        if row is not None:
            (self.runner.is_drained,) = row
        return cursor is not None

    def _row(self, busy: int) -> dict[str, Any]:
        return {
            "id": self.runner.identity.id,
            "kind": self.kind,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": VERSION,
            "slots": sum(self.runner.sizes.values()),
            "sizes": Jsonb(self.runner.sizes),
            "lacks": Jsonb(self.runner.lacks),
            "busy": busy,
            "draining": self.runner.stopping,
        }

    def _execute(self, statement: str, parameters: dict[str, Any]) -> psycopg.Cursor[tuple[Any, ...]] | None:
        """Returns None if the database does not answer."""
        try:
            if self._connection is None:
                self._connection = connect_blocking(f"{self.kind} leases")
            return self._connection.execute(statement, parameters)
        except psycopg.Error as error:
            logger.warning("leases not renewed: %s", str(error).strip())
            self._close()
            return None

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
