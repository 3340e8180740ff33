"""Commands whose reader ends early end quietly: no traceback, and nothing is half done."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from aiworkstation import BASE_DIR
from aiworkstation.access.models import ApiToken
from aiworkstation.ops.output import READER_IS_GONE, quiet_when_reader_is_gone
from tests.support.processes import environment

pytestmark = pytest.mark.django_db(transaction=True)


def run_without_reader(*arguments: str, streams: tuple[str, ...] = ("stdout",)) -> tuple[int, str]:
    """Returns the exit code and what was written to standard error, if that is not one of the streams."""
    reader, writer = os.pipe()
    os.close(reader)
    pipes = [writer if name in streams else subprocess.PIPE for name in ("stdout", "stderr")]
    command = [sys.executable, str(BASE_DIR / "manage.py"), *arguments]
    try:
        process = subprocess.Popen(
            command, cwd=BASE_DIR, env=environment(), text=True, stdout=pipes[0], stderr=pipes[1]
        )
    finally:
        os.close(writer)
    _, said = process.communicate(timeout=60)
    return process.returncode, said or ""


@pytest.mark.parametrize("command", [["apitoken", "alice"], ["check_engine"], ["prune", "--dry-run"], ["help"]])
def test_it_ends_quietly(db: None, command: list[str]) -> None:
    User.objects.create_user("alice")
    assert run_without_reader(*command) == (READER_IS_GONE, "")
    assert ApiToken.objects.exists() == (command[0] == "apitoken")


def test_a_command_whose_exit_code_is_not_zero(db: None, tmp_path: Path) -> None:
    User.objects.create_user("alice")
    (tmp_path / "empty.txt").touch()
    code, said = run_without_reader("ingest", str(tmp_path), "--user", "alice")
    assert code == READER_IS_GONE
    assert "Traceback" not in said
    assert run_without_reader("ingest", str(tmp_path), "--user", "alice", streams=("stdout", "stderr"))[0] == 141


def test_another_broken_pipe_is_an_error() -> None:
    with pytest.raises(BrokenPipeError), quiet_when_reader_is_gone():
        raise BrokenPipeError
