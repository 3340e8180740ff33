"""Node and the packages that the tests of `clients/js` need. Without them, these tests are skipped."""

import shutil
import subprocess
from pathlib import Path

import pytest

from aiworkstation import BASE_DIR

CLIENT = BASE_DIR / "clients" / "js"


def run_node(*command: str, cwd: Path = CLIENT) -> str:
    """Runs a program of `clients/js/node_modules` and returns its output. Fails if it does."""
    if shutil.which("node") is None:
        pytest.skip("no Node on this machine")
    program = CLIENT / "node_modules" / ".bin" / command[0]
    if command[0] != "node" and not program.exists():
        pytest.skip("the packages of clients/js are not installed: run `make js`")
    found = "node" if command[0] == "node" else str(program)
    done = subprocess.run([found, *command[1:]], check=False, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
