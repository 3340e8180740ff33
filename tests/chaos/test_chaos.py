"""A short chaos run, with a fault twice a second. `make chaos` is the long one."""

import re
import subprocess
import sys

import pytest

from aiworkstation import BASE_DIR

TRIES = 3
SLOW_START = 8.0
"""Seconds in which two worker trees start on a machine that has too much else to do."""


@pytest.mark.slow
def test_it_holds() -> None:
    """Slow because leases have to run out. A run in which the machine itself stood still is repeated."""
    command = [sys.executable, "-m", "tests.chaos", "--seconds", "16", "--gap", "0.2", "0.8", "--at-least", "30"]
    command += ["--patience", "6"]  # other tests run at the same time
    for _ in range(TRIES):
        run = subprocess.run(command, cwd=BASE_DIR, capture_output=True, text=True, timeout=900, check=False)
        if run.returncode == 0 or not was_slow(run.stdout):
            break
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr[-3000:]}"


def was_slow(report: str) -> bool:
    found = re.search(r"both trees start in ([0-9.]+) s", report)
    return "slow machine: " in report or found is None or float(found[1]) > SLOW_START
