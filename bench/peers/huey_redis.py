"""Huey on Redis: its consumer with two processes."""

import sys
from pathlib import Path

import redis
from huey import RedisHuey

from bench import run_environment
from bench.adapter import Adapter, Skipped
from bench.start_marks import mark

huey = RedisHuey("bench", host="127.0.0.1", port=run_environment.REDIS_PORT, db=1, results=False)


@huey.task()
def noop(number):
    mark(number)


class HueyRedis(Adapter):
    def prepare(self) -> None:
        if not run_environment.REDIS_PORT:
            raise Skipped("redis-server is not installed")
        self.redis = redis.Redis(port=run_environment.REDIS_PORT, db=1)
        self.redis.flushdb()

    def send(self, number: int) -> None:
        noop(number)

    def pending(self) -> int:
        return self.redis.llen("huey.redis.bench")

    def commands(self) -> list[list[str]]:
        consumer = str(Path(sys.executable).parent / "huey_consumer")
        return [[consumer, f"{__name__}.huey", "-w", "2", "-k", "process", "-q"]]
