"""Measures what sealing the audit trail costs the engine: `python -m bench.seal_cost [--rounds N] [--jobs N]`.

`manage.py work` runs workflows of ten no-op steps, once while it seals and once while it cannot, in turn: this process
then holds the lock that the sealer tries to take. Between two measurements everything is sealed.
"""

import argparse
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import psycopg

from bench.application import DATABASE, environment, make_database, new_execution, owner, set_up
from bench.run_environment import BASE, PYTHON, ROOT, database_url
from bench.servers import servers

STEPS = 10
LIMIT_SECONDS = 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2_000)
    options = parser.parse_args()
    with servers():
        make_database()
        set_up()
        from django.core.management import call_command

        call_command("migrate", interactive=False, verbosity=0)
        user = owner()
        with working():
            steps_per_second(user, 50)  # until the workers are there, and warm
            ratios = [one_round(number, user, options.jobs) for number in range(options.rounds)]
    print(f"sealing × {median(ratios):.3f} of the steps a second without it (at least 0.97)")


def one_round(number: int, user: int, jobs: int) -> float:
    rates: dict[bool, float] = {}
    for seals in (True, False) if number % 2 else (False, True):
        if seals:
            rates[seals] = steps_per_second(user, jobs)
        else:
            with no_sealing():
                rates[seals] = steps_per_second(user, jobs)
        wait_until("SELECT max(last_id) < (SELECT max(id) FROM audit_events) FROM audit_seals")
    ratio = rates[True] / rates[False]
    print(f"round {number + 1}: {rates[True]:.0f} steps/s, without {rates[False]:.0f}, × {ratio:.3f}", flush=True)
    return ratio


def steps_per_second(user: int, jobs: int) -> float:
    from workflows import engine

    began = time.perf_counter()
    for number in range(jobs):
        engine.start(new_execution(number, STEPS, user), actor="bench")
    wait_until("SELECT count(*) > 0 FROM workflow_executions WHERE finished_at IS NULL")
    return jobs * STEPS / (time.perf_counter() - began)


@contextmanager
def working() -> Iterator[None]:
    with (BASE / "seal_cost.log").open("w") as log:
        worker = subprocess.Popen(
            [PYTHON, ROOT / "manage.py", "work"], env=environment(), cwd=ROOT, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            worker.terminate()
            worker.wait(60)


@contextmanager
def no_sealing() -> Iterator[None]:
    with psycopg.connect(database_url(DATABASE), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtext('audit_seals'))")
        yield


def wait_until(is_left: str) -> None:
    """Returns when the statement is false."""
    deadline = time.monotonic() + LIMIT_SECONDS
    with psycopg.connect(database_url(DATABASE), autocommit=True) as connection:
        while (row := connection.execute(is_left.encode()).fetchone()) is None or row[0] is not False:
            if time.monotonic() > deadline:
                raise TimeoutError(is_left)
            time.sleep(0.05)


if __name__ == "__main__":
    main()
