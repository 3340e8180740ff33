"""Celery on Redis, acknowledging late. Its chain keeps no record of steps, and Redis does not sync to disk."""

import sys

import redis
from celery import Celery, chain

from bench import run_environment
from bench.adapter import Adapter, Skipped
from bench.start_marks import mark

app = Celery("bench", broker=f"redis://127.0.0.1:{run_environment.REDIS_PORT}/0")
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    broker_connection_retry_on_startup=True,
)


@app.task
def noop(number):
    mark(number)


@app.task
def do_step(number, step):
    mark(number, step)


class CeleryRedis(Adapter):
    def prepare(self) -> None:
        if not run_environment.REDIS_PORT:
            raise Skipped("redis-server is not installed")
        self.redis = redis.Redis(port=run_environment.REDIS_PORT)
        self.redis.flushdb()

    def send(self, number: int) -> None:
        noop.delay(number)

    def start(self, number: int, steps: int) -> None:
        chain(*[do_step.si(number, step) for step in range(steps)]).apply_async()

    def pending(self) -> int:
        return self.redis.llen("celery") + self.redis.hlen("unacked")

    def commands(self) -> list[list[str]]:
        return [[sys.executable, "-m", "celery", "-A", __name__, "worker", "-c", "2", "-l", "WARNING"]]
