"""PgQueuer, which takes and acknowledges in batches. `python -m bench.peers.pgqueuer_peer BATCH` is its worker."""

import asyncio
import subprocess
import sys

import asyncpg
import psycopg
from pgqueuer import PgQueuer as Queuer
from pgqueuer.db import AsyncpgDriver, SyncPsycopgDriver
from pgqueuer.queries import SyncQueries

from bench.adapter import Adapter, fresh_database
from bench.run_environment import SOCKETS, child_environment, database_url
from bench.start_marks import mark

DATABASE = "bench_pgqueuer"
ADDRESS = {"PGHOST": str(SOCKETS), "PGUSER": "aiworkstation", "PGDATABASE": DATABASE}


class PgQueuer(Adapter):
    def prepare(self) -> None:
        fresh_database(DATABASE)
        install = [sys.executable, "-m", "pgqueuer", "install"]
        subprocess.run(install, env=child_environment(**ADDRESS), check=True, capture_output=True)

    def connect(self) -> None:
        self.queries = SyncQueries(SyncPsycopgDriver(psycopg.connect(database_url(DATABASE), autocommit=True)))

    def send(self, number: int) -> None:
        self.queries.enqueue("noop", str(number).encode())

    def pending(self) -> int:
        return self.count("SELECT count(*) FROM pgqueuer", DATABASE)

    def commands(self) -> list[list[str]]:
        return [[sys.executable, "-m", __name__, self.variant]] * 2


async def work(batch: int) -> None:
    connection = await asyncpg.connect(host=str(SOCKETS), user="aiworkstation", database=DATABASE)
    queue = Queuer(AsyncpgDriver(connection))

    @queue.entrypoint("noop")
    async def noop(job):
        mark(int(job.payload))

    await queue.run(batch_size=batch)


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1])))
