"""A short chaos run, with a fault twice a second. `make chaos` is the long one."""

import subprocess
import sys

from aiworkstation import BASE_DIR


def test_it_holds() -> None:
    command = [sys.executable, "-m", "tests.chaos", "--seconds", "16", "--gap", "0.2", "0.8", "--at-least", "30"]
    run = subprocess.run(command, cwd=BASE_DIR, capture_output=True, text=True, timeout=900, check=False)
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr[-3000:]}"
