"""DBOS Transact. `python -m bench.peers.dbos_peer EXECUTOR` is its worker; `init` creates its tables and exits."""

import subprocess
import sys
import threading

from dbos import DBOS, DBOSClient, DBOSConfig

from bench.adapter import Adapter, fresh_database
from bench.run_environment import database_url
from bench.start_marks import mark

DATABASE = "bench_dbos"
POLL = 0.01
INIT = "init"


class Dbos(Adapter):
    def prepare(self) -> None:
        fresh_database(DATABASE)
        subprocess.run([sys.executable, "-m", __name__, INIT], env=self.environment(), check=True, capture_output=True)

    def connect(self) -> None:
        self.client = DBOSClient(system_database_url=database_url(DATABASE))

    def send(self, number: int) -> None:
        self.client.enqueue({"workflow_name": "noop", "queue_name": "q"}, number)

    def start(self, number: int, steps: int) -> None:
        self.client.enqueue({"workflow_name": "workflow", "queue_name": "q"}, number, steps)

    def pending(self) -> int:
        unfinished = "SELECT count(*) FROM dbos.workflow_status WHERE status IN ('PENDING', 'ENQUEUED')"
        return self.count(unfinished, DATABASE)

    def commands(self) -> list[list[str]]:
        return [[sys.executable, "-m", __name__, f"executor{number}"] for number in range(2)]


@DBOS.step()
def do_step(number, step):
    mark(number, step)


@DBOS.workflow(name="noop")
def noop(number):
    mark(number)


@DBOS.workflow(name="workflow")
def workflow(number, steps):
    for step in range(steps):
        do_step(number, step)


def launch(executor: str) -> None:
    config = DBOSConfig(
        name="bench",
        system_database_url=database_url(DATABASE),
        executor_id=executor,
        application_version="1",
        log_level="WARNING",
        console_log_level="WARNING",
    )
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue("q", polling_interval_sec=POLL, worker_concurrency=None, on_conflict="always_update")


if __name__ == "__main__":
    launch(sys.argv[1])
    if sys.argv[1] == INIT:
        DBOS.destroy()
    else:
        threading.Event().wait()
