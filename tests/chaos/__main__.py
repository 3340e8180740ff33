"""`python -m tests.chaos`: prints what it measured. The exit code is 0 if every check holds."""

import argparse
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import django

from tests.chaos.call_server import CallServer
from tests.chaos.database import Database

LEASE = 3.0


def main() -> None:
    options = _parse()
    home = Path(tempfile.mkdtemp(prefix="chaos-"))
    home.chmod(0o755)
    with ExitStack() as stack:
        database = Database(home)
        stack.callback(database.leave)
        calls = stack.enter_context(CallServer())
        environment = _environment(home, database.dsn, calls)
        os.environ.update(environment)
        django.setup()
        from tests.chaos.run import Run

        run = Run(home, database, calls, environment, options.seed)
        holds = run.play(options.seconds, options.gap, at_least=options.at_least, patience=options.patience)
    if holds and not options.keep:
        shutil.rmtree(home)
    else:
        print(f"\nLogs, ledger and database: {home}")
    sys.exit(0 if holds else 1)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180, help="how long faults are caused")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="seed of the faults and the jobs")
    parser.add_argument("--keep", action="store_true", help="keep logs, ledger and database")
    parser.add_argument("--gap", type=float, nargs=2, default=(0.3, 2.2), help="seconds between two faults")
    parser.add_argument("--at-least", type=int, default=200, help="the smallest number of jobs that must be started")
    parser.add_argument(
        "--patience", type=float, default=1, help="by how much limits of time are raised, if others work"
    )
    options = parser.parse_args()
    print(f"chaos for {options.seconds:g} s, seed {options.seed}", flush=True)
    return options


def _environment(home: Path, dsn: str, calls: CallServer) -> dict[str, str]:
    """The environment of the worker trees. This process has it too, but connects to the database directly."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "DJANGO_SETTINGS_MODULE": "aiworkstation.settings",
        "ENV_FILE": "",
        "DATABASE_URL": dsn,
        "DATA_DIR": str(home),
        "SECRET_KEY": "of-the-chaos-run-alone-" + 40 * "x",
        "EXTRA_APPS": "tests.chaos",
        "WORKERS": "2",
        "LEASE_SECONDS": f"{LEASE:g}",
        "STOP_GRACE": "1",
        "HTTP_ALLOWED_PRIVATE_HOSTS": calls.place,
        "CHAOS_LEDGER": str(home / "ledger"),
        "PYTHONWARNINGS": "ignore",
    }


if __name__ == "__main__":
    main()
