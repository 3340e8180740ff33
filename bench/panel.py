"""Measures how long the pages take as the tables grow, and writes PANEL.md: `make bench-panel`.

    python -m bench.panel [--jobs 1000 1000000] [--repeats 30]

For each number of jobs it makes a database with jobs over 90 days, of ten steps each, by SQL. It counts them in the
roll-ups, and asks for each page through Django's test client, in one process: without a network and a web server.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from bench import run_environment
from bench.adapter import fresh_database
from bench.servers import servers

DATABASE = "bench_panel"
RESULTS = Path(__file__).with_name("PANEL.md")
DAYS = 90
STEPS = 10
USERS = 20
CHUNK = 20_000
SLOWEST_MS = 50
FIRST_90_DAYS_MS = 300

PAGES = {
    "dashboard, 90 days, first opening": "/dashboard?range=90d",
    "dashboard, 90 days": "/dashboard?range=90d",
    "dashboard, 24 hours": "/dashboard?range=24h",
    "dashboard, 24 hours, one user": "/dashboard?range=24h&owner=user3",
    "dashboard, 90 days, one user": "/dashboard?range=90d&owner=user3",
    "failures, 7 days": "/failures",
    "failures, 30 days": "/failures?range=30d",
    "workers": "/workers",
    "jobs": "/jobs/?owner=all",
    "jobs, failed": "/jobs/?owner=all&status=failed",
    "jobs, unfinished": "/jobs/?owner=all&status=unfinished",
    "jobs, one type": "/jobs/?owner=all&type=bulk-documents",
    "jobs, one project": "/jobs/?owner=all&project=p7",
    "jobs, of a failure": "/jobs/?owner=all&failed=HTTP_REQUEST&code=http_502&message=no+answer+from+%E2%80%A6",
    "audit log": "/admin/audit/auditevent/",
}

# One job in twenty failed, at its last step. Two of three steps are of a model.
_JOBS = """
INSERT INTO workflow_executions (
  id, owner_id, job_type, name, description, mode, model_id, project_id, tags, payload, queue, max_parallel,
  tolerates_failures, status, steps_total, steps_running, steps_completed, steps_failed, steps_finished, created_at,
  started_at, finished_at, changed_at)
SELECT id, (%(users)s::int[])[1 + n %% {users}],
  (ARRAY['workflow','bulk-documents','document-reprocess','workflow'])[1 + n %% 4],
  'Job ' || n, 'A job of the benchmark', (ARRAY['General','Sales','Admin'])[1 + n %% 3], '', 'p' || n %% {users}, '{}',
  '{}', 'normal', 5, false, CASE WHEN n %% 20 = 0 THEN 'failed' ELSE 'completed' END, {steps}, 0,
  {steps} - (n %% 20 = 0)::int, (n %% 20 = 0)::int, {steps}, at, at + (n %% 97) * interval '37 ms',
  at + (n %% 97) * interval '37 ms' + (n %% 101) * interval '613 ms', at
FROM (
  SELECT n, gen_random_uuid() AS id, now() - n * interval '{days} days' / %(jobs)s - interval '90 s' AS at
  FROM generate_series(%(first)s::int, %(last)s::int) n
) given
"""
_STEPS = """
INSERT INTO workflow_steps (
  id, execution_id, index, name, description, tool, slot, depends_on, dependents, missing_dependencies, status, attempt,
  attempts_before, round, repeats_attempt, max_attempts, crashes, progress, message, output, error, model, usage,
  started_at, finished_at)
SELECT gen_random_uuid(), e.id, n, 'Step ' || n, '', CASE WHEN n %% 3 = 0 THEN 'HTTP_REQUEST' ELSE '' END, 'async',
  '{}', '{}', 0, CASE WHEN fails THEN 'failed' ELSE 'completed' END, 1, 0, 1, false, 3, 0, 100, '', '{}',
  CASE WHEN fails THEN jsonb_build_object('code', 'http_' || 500 + length(e.name) %% 4, 'retryable', false,
    'message', 'no answer from "host' || e.project_id || '" after ' || length(e.name) || ' s') END,
  CASE WHEN n %% 3 = 0 THEN '' ELSE (ARRAY['gpt-5','gpt-4o','llama3.1'])[1 + n %% 3] END,
  CASE WHEN n %% 3 > 0 THEN '{"inputTokens": 812, "outputTokens": 96, "costUsd": "0.0031"}'::jsonb END,
  e.started_at, e.finished_at
FROM workflow_executions e
CROSS JOIN LATERAL (
  SELECT n, e.status = 'failed' AND n = {steps} - 1 AS fails FROM generate_series(0, {steps} - 1) n
) step
WHERE e.created_at <= %(newest)s AND e.created_at > %(oldest)s
"""


@dataclass(frozen=True)
class Measured:
    page: str
    p50: float
    p95: float
    kilobytes: float
    statements: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-panel", description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    with servers():
        found = {jobs: _run(jobs, options.repeats) for jobs in options.jobs}
    RESULTS.write_text(_text(found), encoding="utf-8")
    print(RESULTS.read_text(encoding="utf-8"))


def _run(jobs: int, repeats: int) -> tuple[float, list[Measured]]:
    """In a process of its own: Django is set up for one database. Returns the microseconds per step of the roll-ups."""
    code = f"from bench.panel import measure; measure({jobs}, {repeats})"
    environment = run_environment.application_environment(DATABASE_URL=run_environment.database_url(DATABASE))
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=run_environment.ROOT, stdout=subprocess.PIPE, check=True
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["rollup"], [Measured(*row) for row in answer["pages"]]


def measure(jobs: int, repeats: int) -> None:
    import django

    fresh_database(DATABASE)
    django.setup()
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    fill(jobs)
    microseconds = _count(jobs)
    pages = list(_pages(repeats))
    rows = [[each.page, each.p50, each.p95, each.kilobytes, each.statements] for each in pages]
    print(json.dumps({"rollup": microseconds, "pages": rows}))


def fill(jobs: int) -> None:
    from django.contrib.auth.models import User
    from django.db import connection

    User.objects.bulk_create([User(username=f"user{number}", is_staff=number == 0) for number in range(USERS)])
    users = list(User.objects.order_by("pk").values_list("pk", flat=True))
    parts = {"users": str(USERS), "steps": str(STEPS), "days": str(DAYS)}
    jobs_sql, steps_sql = (_filled(statement, parts) for statement in (_JOBS, _STEPS))
    with connection.cursor() as cursor:
        for first in range(0, jobs, CHUNK):
            last = min(first + CHUNK, jobs) - 1
            cursor.execute(jobs_sql, {"users": users, "jobs": jobs, "first": first, "last": last})
        cursor.execute("SELECT min(created_at), max(created_at) FROM workflow_executions")
        oldest, newest = cursor.fetchone()
        parts_of_time = max(jobs // CHUNK, 1)
        width = (newest - oldest) / parts_of_time
        for part in range(parts_of_time):
            lower = oldest + part * width if part else oldest.replace(year=2000)
            upper = newest if part == parts_of_time - 1 else oldest + (part + 1) * width
            cursor.execute(steps_sql, {"oldest": lower, "newest": upper})
        cursor.execute(
            "INSERT INTO audit_events (actor, action, object, execution_id, changes) "
            "SELECT 'bench', 'job.completed', 'job:' || id, id, '{\"status\": \"completed\"}' FROM workflow_executions"
        )
        cursor.execute("VACUUM ANALYZE")


def _filled(statement: str, parts: dict[str, str]) -> str:
    """The braces of arrays stay."""
    for name, part in parts.items():
        statement = statement.replace(f"{{{name}}}", part)
    return statement


def _count(jobs: int) -> float:
    """Counts all jobs in the roll-ups. Returns the microseconds for each step."""
    from django.db import connection

    from workflows.engine.rollups import count_ended_jobs

    began = time.perf_counter()
    while count_ended_jobs():
        pass
    passed = time.perf_counter() - began
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return passed * 1e6 / (jobs * STEPS)


def _pages(repeats: int) -> Iterator[Measured]:
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    settings.ALLOWED_HOSTS.append("testserver")
    User.objects.filter(username="user0").update(is_superuser=True)
    client = Client()
    client.force_login(User.objects.get(username="user0"))
    client.get("/jobs/new")  # what is loaded once does not count
    for page, address in PAGES.items():
        yield _measured(page, 1 if "first" in page else repeats, partial(client.get, address))


def _measured(page: str, repeats: int, ask: Callable[[], Any]) -> Measured:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        answer = ask()
        times.append(1000 * (time.perf_counter() - began))
        assert answer.status_code == 200, (page, answer.status_code)
    with CaptureQueriesContext(connection) as queries:
        ask()
    p95 = quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
    return Measured(page, round(median(times), 1), round(p95, 1), round(len(answer.content) / 1000, 1), len(queries))


def _text(found: dict[int, tuple[float, list[Measured]]]) -> str:
    lines = [
        "# The pages, measured",
        "",
        f"`make bench-panel` on {time.strftime('%Y-%m-%d')}: {run_environment.machine_description()}.",
        "Milliseconds for a page in one process, without a network.",
        f"The target is a p95 of at most {SLOWEST_MS} ms, and {FIRST_90_DAYS_MS} ms for the first opening of 90 days.",
    ]
    for jobs, (microseconds, pages) in found.items():
        lines += ["", f"## {jobs:,} jobs, {jobs * STEPS:,} steps", ""]
        lines += [f"Counting them in the roll-ups took {microseconds:.1f} µs for each step.", ""]
        lines += ["| page | p50 | p95 | kB | statements | target |", "|---|---|---|---|---|---|"]
        lines += [_row(each) for each in pages]
    return "\n".join(lines) + "\n"


def _row(each: Measured) -> str:
    limit = FIRST_90_DAYS_MS if "first" in each.page else SLOWEST_MS
    verdict = "reached" if each.p95 <= limit else "**missed**"
    return f"| {each.page} | {each.p50} | {each.p95} | {each.kilobytes} | {each.statements} | {verdict} |"


if __name__ == "__main__":
    main()
