"""Shared helpers for the tests of processes."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from aiworkstation.ops import postgres


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database cluster for a module, because creating it takes most of the time of a start."""
    return tmp_path_factory.mktemp("data")


def processes_of(data_dir: Path) -> list[psutil.Process]:
    """The processes of this directory's manager and server."""
    home = str(postgres.home(data_dir))
    return [process for process in psutil.process_iter() if home in _command_line(process)]


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
