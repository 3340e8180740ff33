"""django-q2 with its own broker and processes, and django-tasks-db: both in one small Django site."""

import json
import os
import sys

from bench.adapter import Adapter, fresh_database
from bench.run_environment import child_environment

DATABASE = "bench_site"
# Everything that settings can do for its speed.
TUNED = {
    "bulk": 10,
    "poll": 0.01,
    "save_limit": -1,
    "queue_limit": 50,
    "log_level": "WARNING",
    "retry": 600,
    "timeout": 300,
}


class Site(Adapter):
    settings: dict[str, str] = {}

    def environment(self) -> dict[str, str]:
        return child_environment(DJANGO_SETTINGS_MODULE="bench.peers.site.settings", **self.settings)

    def prepare(self) -> None:
        fresh_database(DATABASE)
        self._set_up()
        from django.core.management import call_command

        call_command("migrate", interactive=False, verbosity=0)

    def _set_up(self) -> None:
        os.environ.update(self.environment())
        import django

        django.setup()


class DjangoQ(Site):
    """Variants: `stock`, and `tuned` by its settings."""

    def __init__(self, variant: str) -> None:
        super().__init__(variant)
        if variant == "tuned":
            self.settings = {"BENCH_Q": json.dumps(TUNED), "BENCH_CONN_MAX_AGE": "null"}

    def connect(self) -> None:
        import logging

        from django_q.tasks import async_chain, async_task

        logging.getLogger("django-q").setLevel(logging.ERROR)
        self.async_task, self.async_chain = async_task, async_chain

    def send(self, number: int) -> None:
        self.async_task("bench.peers.site.tasks.noop", number)

    def start(self, number: int, steps: int) -> None:
        self.async_chain([("bench.peers.site.tasks.do_step", (number, step)) for step in range(steps)])

    def pending(self) -> int:
        return self.count("SELECT count(*) FROM django_q_ormq", DATABASE)

    def commands(self) -> list[list[str]]:
        return [[sys.executable, "-m", "django", "qcluster"]]


class DjangoTasksDb(Site):
    settings = {"BENCH_CONN_MAX_AGE": "null"}

    def connect(self) -> None:
        from bench.peers.site.tasks import noop_task

        self.task = noop_task

    def send(self, number: int) -> None:
        self.task.enqueue(number)

    def pending(self) -> int:
        unfinished = "SELECT count(*) FROM django_tasks_database_dbtaskresult WHERE status IN ('READY', 'RUNNING')"
        return self.count(unfinished, DATABASE)

    def commands(self) -> list[list[str]]:
        return [[sys.executable, "-m", "django", "db_worker", "--no-startup-delay", "--interval", "0.01"]] * 2
