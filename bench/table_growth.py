"""Measures what a claim, a finish and a poll of the panel cost as the tables grow.

    python -m bench.table_growth SECONDS

It measures with 100 finished steps, then beside a transaction that stays open for SECONDS while two runners work
through jobs, then with 1,000,000 finished steps.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import Connection

from bench import run_environment
from bench.adapter import fresh_database
from bench.explained_statements import StatementCost, explained, timed

DATABASE = "bench_growth"
STEPS = 10
MILLION = 1_000_000
TIMES = 60
BACKLOG = 40

# Copies of one job that the engine has run, with ids and audit events of their own.
_FILL = """
WITH jobs AS (
  INSERT INTO workflow_executions
  SELECT copy.* FROM workflow_executions e, generate_series(1, %(jobs)s) n, LATERAL jsonb_populate_record(
    e, jsonb_build_object('id', gen_random_uuid(), 'created_at', now() - n * interval '1 s')) copy
  WHERE e.id = %(model)s
  RETURNING id
), steps AS (
  INSERT INTO workflow_steps
  SELECT copy.* FROM jobs, workflow_steps s, LATERAL jsonb_populate_record(
    s, jsonb_build_object('id', gen_random_uuid(), 'execution_id', jobs.id)) copy
  WHERE s.execution_id = %(model)s
  RETURNING id, execution_id
)
INSERT INTO audit_events (actor, action, object, execution_id, changes)
SELECT 'bench', action, 'step:' || id, execution_id, '{"status": "completed"}'
FROM steps, unnest(ARRAY['step.started', 'step.completed']) action
"""


def environment() -> dict[str, str]:
    return run_environment.application_environment(DATABASE_URL=run_environment.database_url(DATABASE))


def set_up() -> None:
    import django

    os.environ.update(environment())
    django.setup()
    from django.core.management import call_command

    fresh_database(DATABASE)
    call_command("migrate", interactive=False, verbosity=0)


class Tables:
    """The tables of one database, measured at several sizes."""

    def __init__(self) -> None:
        from django.conf import settings
        from django.test import Client

        from bench.application import owner
        from workflows.database_connections import connect_blocking
        from workflows.engine.turn import WorkerInfo

        settings.ALLOWED_HOSTS.append("testserver")
        self.owner = owner()
        self.worker = WorkerInfo(uuid4(), "bench", 600.0, ("BENCH_NOOP",))
        self.engine: Connection[Any] = connect_blocking("bench")
        self.engine.prepare_threshold = 1
        self.client = Client()
        self.drained_at = time.monotonic()
        self._sign_in()

    def _sign_in(self) -> None:
        from django.contrib.auth.models import User

        self.client.force_login(User.objects.get(pk=self.owner))

    def fill(self, steps: int) -> None:
        model = self._run_one()
        with psycopg.connect(run_environment.database_url(DATABASE), autocommit=True) as connection:
            connection.execute(_FILL, {"model": model, "jobs": steps // STEPS - 1})
            connection.execute("VACUUM ANALYZE")

    def _run_one(self) -> UUID:
        from bench.application import new_execution
        from workflows import engine

        key = engine.start(new_execution(0, STEPS, self.owner), actor="bench")
        result, _ = self._turn(timed, *self._claim())
        while result.claims:
            result, _ = self._turn(timed, *self._finish(result))
        return key

    def start(self, jobs: int) -> None:
        from bench.application import new_execution
        from workflows import engine

        for number in range(jobs):
            engine.start(new_execution(number, STEPS, self.owner), actor="bench")

    def measure(self) -> dict[str, Any]:
        """Counts the pages of explained statements, and times the same verbs with their commits."""
        self.drained_at = time.monotonic()
        self.start(2 * TIMES)
        claims, finishes = [], []
        claim_ms, finish_ms = [], []
        for _ in range(TIMES // 2):
            result, cost = self._turn(explained, *self._claim())
            claims.append(cost)
            finishes.append(self._turn(explained, *self._finish(result))[1])
        for _ in range(TIMES):
            result, ms = self._turn(timed, *self._claim())
            claim_ms.append(ms)
            finish_ms.append(self._turn(timed, *self._finish(result))[1])
        polls = [self._poll() for _ in range(10)]
        measured = {
            "claim": _summary(claims, claim_ms),
            "finish": _summary(finishes, finish_ms),
            "poll": _summary([cost for cost, _ in polls], [ms for _, ms in polls]),
        }
        self._cancel_all()
        return measured

    def _turn(self, measured: Callable[..., Any], outcomes: list[Any], demands: list[Any]) -> tuple[Any, Any]:
        """Runs a turn through `measured`. Returns its result and its cost."""
        from workflows.engine.turn import TURN, turn_parameters, turn_result

        row, figure = measured(self.engine, TURN, turn_parameters(self.worker, outcomes, demands))
        return turn_result(row[0], outcomes), figure

    def _claim(self) -> tuple[list[Any], list[Any]]:
        from workflows.engine.turn import SCAN_OVERLAP, Demand

        since = time.monotonic() - self.drained_at + SCAN_OVERLAP
        return [], [Demand("async", free=1, since=since)]

    def _finish(self, result: Any) -> tuple[list[Any], list[Any]]:
        """Returns the outcome of the claim. It keeps its lane, so the turn claims the next step."""
        from workflows.engine.outcomes import Outcome

        (claim,) = result.claims
        outcome = Outcome.completed(claim, 1)
        outcome.keeps = "async"
        return [outcome], []

    def _poll(self) -> tuple[StatementCost, float]:
        from django.db import connection
        from django.test.utils import CaptureQueriesContext
        from django.urls import reverse

        panel = reverse("jobs:panel")
        began = time.perf_counter()
        self.client.get(panel)
        ms = (time.perf_counter() - began) * 1000
        with CaptureQueriesContext(connection) as captured:
            answer = self.client.get(panel)
        assert answer.status_code == 200, answer.status_code
        cost = StatementCost()
        with connection.cursor() as cursor:
            for query in captured.captured_queries:
                if query["sql"].lstrip().startswith(("SELECT", "WITH")):
                    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query['sql']}")
                    cost.add(cursor.fetchone()[0][0])
        return cost, ms

    def _cancel_all(self) -> None:
        from workflows import engine
        from workflows.models import WorkflowExecution

        for key in WorkflowExecution.objects.unfinished().values_list("pk", flat=True):
            engine.cancel(key, actor="bench")

    def work_off(self, seconds: float) -> list[float]:
        """Returns the steps a second in each tenth of the time. Few jobs wait at any moment."""
        from workflows.models import WorkflowExecution, WorkflowStep

        rates = []
        with _workers():
            for _ in range(10):
                began, before = time.monotonic(), WorkflowStep.objects.filter(status="completed").count()
                while time.monotonic() - began < seconds / 10:
                    if WorkflowExecution.objects.unfinished().count() < BACKLOG:
                        self.start(10)
                    time.sleep(0.02)
                done = WorkflowStep.objects.filter(status="completed").count() - before
                rates.append(done / (time.monotonic() - began))
            deadline = time.monotonic() + 60
            while WorkflowExecution.objects.unfinished().exists() and time.monotonic() < deadline:
                time.sleep(0.1)
        return rates


def _summary(costs: list[StatementCost], ms: list[float]) -> dict[str, Any]:
    return {
        "pages": median(cost.pages for cost in costs),
        "execution_ms": median(cost.ms for cost in costs),
        "ms": median(ms),
        "indexes": sorted(set().union(*(cost.indexes for cost in costs))),
        "scans": sorted(set().union(*(cost.scans for cost in costs))),
    }


@contextmanager
def _workers() -> Iterator[None]:
    with (run_environment.BASE / "workers.log").open("ab") as log:
        command = [str(run_environment.PYTHON), str(run_environment.ROOT / "manage.py"), "work"]
        work = subprocess.Popen(command, cwd=run_environment.ROOT, env=environment(), stdout=log, stderr=log)
    try:
        yield
    finally:
        work.terminate()
        work.wait(60)


@contextmanager
def _held_open() -> Iterator[None]:
    """Holds a transaction open that sees the tables as they are now, so that vacuum can remove no newer row version."""
    with psycopg.connect(run_environment.database_url(DATABASE), autocommit=True) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM django_q_ormq")
        yield
        connection.execute("COMMIT")


def main(seconds: float) -> dict[str, Any]:
    set_up()
    tables = Tables()
    tables.fill(100)
    few = tables.measure()
    with _held_open():
        rates = tables.work_off(seconds)
        held = tables.measure()
    tables.fill(MILLION)
    many = tables.measure()
    return {"few": few, "many": many, "held": held, "held_seconds": seconds, "held_rates": rates}


if __name__ == "__main__":
    print(json.dumps(main(float(sys.argv[1]))), flush=True)
