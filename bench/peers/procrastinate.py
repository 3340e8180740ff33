"""Procrastinate: a step commits its progress and the next step's job together.

`python -m bench.peers.procrastinate CONCURRENCY` is its worker.
"""

import asyncio
import sys

import procrastinate
import psycopg

from bench.adapter import Adapter, fresh_database
from bench.run_environment import database_url
from bench.start_marks import mark

DATABASE = "bench_procrastinate"
PROGRESS = "INSERT INTO progress VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET step = excluded.step"


class Procrastinate(Adapter):
    def prepare(self) -> None:
        fresh_database(DATABASE)
        with psycopg.connect(database_url(DATABASE), autocommit=True) as connection:
            connection.execute("CREATE TABLE progress (id bigint PRIMARY KEY, step int)")
        with self._app().open() as app:
            app.schema_manager.apply_schema()

    def connect(self) -> None:
        app = self._app()
        app.open()
        self.noop = app.configure_task("noop")
        self.step = app.configure_task("step")

    def _app(self) -> procrastinate.App:
        return procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=database_url(DATABASE)))

    def send(self, number: int) -> None:
        self.noop.defer(number=number)

    def start(self, number: int, steps: int) -> None:
        self.step.defer(number=number, step=0, last=steps - 1)

    def pending(self) -> int:
        return self.count("SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')", DATABASE)

    def commands(self) -> list[list[str]]:
        return [[sys.executable, "-m", __name__, self.variant]] * 2


async def work(concurrency: int) -> None:
    connector = procrastinate.PsycopgConnector(conninfo=database_url(DATABASE), max_size=20)
    app = procrastinate.App(connector=connector)

    @app.task(name="noop")
    async def noop(number):
        mark(number)

    @app.task(name="step")
    async def do_step(number, step, last):
        mark(number, step)
        async with connector.pool.connection() as connection, connection.transaction():
            await connection.execute(PROGRESS, [number, step])
            if step < last:
                following = do_step.configure(connection=connection)
                await following.defer_async(number=number, step=step + 1, last=last)

    async with app.open_async():
        await app.run_worker_async(concurrency=concurrency)


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1])))
