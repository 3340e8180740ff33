"""The application as a contender, as shipped: `manage.py work` with two runners."""

import os
import time
from typing import TYPE_CHECKING

from bench import run_environment
from bench.adapter import Adapter, fresh_database
from bench.run_environment import PYTHON, ROOT

if TYPE_CHECKING:
    from workflows.steps import NewExecution

DATABASE = "bench_application"
TABLES = "workflow_executions, workflow_steps, audit_events, django_q_ormq, django_q_task, workflow_workers"


class Application(Adapter):
    """Sends jobs of one step. The variant `plain` calls `async_task` instead."""

    def prepare(self) -> None:
        set_up()
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", interactive=False, verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE audit_events DISABLE TRIGGER USER")
            cursor.execute(f"TRUNCATE {TABLES} CASCADE")
            cursor.execute("ALTER TABLE audit_events ENABLE TRIGGER USER")

    def connect(self) -> None:
        set_up()
        self.owner = owner()

    def send(self, number: int) -> int | None:
        if self.variant == "plain":
            from django_q.tasks import async_task

            async_task("bench.app.tasks.noop", number)
            return None
        return self.start(number, 1)

    def start(self, number: int, steps: int) -> int | None:
        from django.db import transaction

        from workflows import engine

        committed: list[int] = []
        with transaction.atomic():
            # Registered before the engine's callback, which notifies the workers: one may begin before that returns.
            transaction.on_commit(lambda: committed.append(time.time_ns()))
            engine.start(new_execution(number, steps, self.owner), actor="bench")
        return committed[0]

    def pending(self) -> int:
        waiting = "SELECT count(*) FROM workflow_executions WHERE finished_at IS NULL"
        return self.count("SELECT count(*) FROM django_q_ormq" if self.variant == "plain" else waiting, DATABASE)

    def commands(self) -> list[list[str]]:
        return [[str(PYTHON), str(ROOT / "manage.py"), "work"]]

    def environment(self) -> dict[str, str]:
        return environment()

    def check(self) -> None:
        """Checks that each step wrote two audit events."""
        done = self.count("SELECT count(*) FROM workflow_steps WHERE status = 'completed'", DATABASE)
        events = self.count("SELECT count(*) FROM audit_events WHERE action LIKE 'step.%'", DATABASE)
        if events != 2 * done and self.pending() == 0:
            raise RuntimeError(f"{events} events of {done} steps")


def environment(**settings: str) -> dict[str, str]:
    return run_environment.application_environment(DATABASE_URL=run_environment.database_url(DATABASE), **settings)


def set_up() -> None:
    import django

    os.environ.update(environment())
    django.setup()


def make_database() -> None:
    fresh_database(DATABASE)


def owner() -> int:
    from django.contrib.auth.models import User

    return User.objects.get_or_create(username="bench")[0].pk


def new_execution(number: int, steps: int, owner_id: int) -> "NewExecution":
    from workflows.steps import NewExecution, NewStep

    chain = [
        NewStep(str(step), tool="BENCH_NOOP", arguments={"number": number}, depends_on=[step - 1] if step else [])
        for step in range(steps)
    ]
    return NewExecution(owner_id, "workflow", f"bench {number}", chain)
