"""Celery on Redis, acknowledging late. Its chain keeps no record of steps, and Redis as it comes syncs nothing."""

import sys

import redis
from celery import Celery, chain

from bench import place
from bench.contestant import Contestant, Skipped
from bench.marks import mark

app = Celery("bench", broker=f"redis://127.0.0.1:{place.REDIS_PORT}/0")
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


class CeleryRedis(Contestant):
    def prepare(self) -> None:
        if not place.REDIS_PORT:
            raise Skipped("redis-server is not installed")
        self.redis = redis.Redis(port=place.REDIS_PORT)
        self.redis.flushdb()

    def send(self, number: int) -> None:
        noop.delay(number)

    def start(self, number: int, steps: int) -> None:
        chain(*[do_step.si(number, step) for step in range(steps)]).apply_async()

    def pending(self) -> int:
        return self.redis.llen("celery") + self.redis.hlen("unacked")

    def commands(self) -> list[list[str]]:
        return [[sys.executable, "-m", "celery", "-A", __name__, "worker", "-c", "2", "-l", "WARNING"]]
