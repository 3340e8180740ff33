"""Absurd: durable steps by functions in PostgreSQL. `python -m bench.peers.absurd CONCURRENCY` is its worker."""

import sys
from pathlib import Path

import psycopg
from absurd_sdk import Absurd as Sdk

from bench import run_environment
from bench.adapter import Adapter, Skipped, fresh_database
from bench.run_environment import database_url
from bench.start_marks import mark

DATABASE = "bench_absurd"
POLL = 0.01


def app() -> Sdk:
    return Sdk(database_url(DATABASE), queue_name="q")


class Absurd(Adapter):
    def prepare(self) -> None:
        if not run_environment.ABSURD_SQL:
            raise Skipped("ABSURD_SQL does not name sql/absurd.sql of earendil-works/absurd")
        fresh_database(DATABASE)
        with psycopg.connect(database_url(DATABASE), autocommit=True) as connection:
            connection.execute(Path(run_environment.ABSURD_SQL).read_text())
        app().create_queue("q")

    def connect(self) -> None:
        self.app = app()

    def send(self, number: int) -> None:
        self.app.spawn("noop", {"number": number}, queue="q")

    def start(self, number: int, steps: int) -> None:
        self.app.spawn("workflow", {"number": number, "steps": steps}, queue="q")

    def pending(self) -> int:
        return self.count("SELECT count(*) FROM absurd.t_q WHERE state IN ('pending', 'running', 'sleeping')", DATABASE)

    def commands(self) -> list[list[str]]:
        return [[sys.executable, "-m", __name__, self.variant]] * 2


def main() -> None:
    worker = app()

    @worker.register_task(name="noop")
    def noop(parameters, context):
        mark(parameters["number"])

    @worker.register_task(name="workflow")
    def workflow(parameters, context):
        for step in range(parameters["steps"]):
            context.step(f"step {step}", lambda step=step: mark(parameters["number"], step))

    worker.start_worker(poll_interval=POLL, concurrency=int(sys.argv[1]))


if __name__ == "__main__":
    main()
