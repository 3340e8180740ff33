"""Functions in child processes: their limits, their crashes, and what survives."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workflows.errors import ChildCrashed, ChildFailed
from workflows.worker.sandbox.client import Sandbox
from workflows.worker.sandbox.confinement import ChildFiles


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox(memory=1 << 30, seconds=2)
    yield sandbox
    sandbox.close()


def call(sandbox: Sandbox, function: str, tmp_path: Path, *, seconds: float = 0, progress: Any = None) -> Any:
    arguments = {"seconds": seconds, "ledger": str(tmp_path / "ledger"), "name": function}
    return asyncio.run(
        sandbox.run(f"tests.probe.child:{function}", arguments, progress, files=ChildFiles(folder=str(tmp_path)))
    )


def test_it_works(sandbox: Sandbox, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    result = call(sandbox, "sleep", tmp_path, progress=lambda done, total: heard.append((done, total)))
    assert result["pid"] != os.getpid()
    assert heard == [(1, 2)]


@pytest.mark.parametrize(
    ("function", "error", "code"),
    [
        ("refuse", ChildFailed, "failed"),
        ("swell", ChildFailed, "too_complex"),
        ("abort", ChildFailed, "too_complex"),
        ("spin", ChildFailed, "timed_out"),
        ("die", ChildCrashed, "crashed"),
        ("leave", ChildCrashed, "crashed"),
        ("nothing_of_that_name", ChildFailed, "failed"),
    ],
)
def test_how_a_child_ends(sandbox: Sandbox, tmp_path: Path, function: str, error: type[ChildFailed], code: str) -> None:
    with pytest.raises(error) as raised:
        call(sandbox, function, tmp_path)
    assert raised.value.code == code
    assert call(sandbox, "sleep", tmp_path)["pid"]


@pytest.mark.parametrize(
    ("function", "error_class", "message"),
    [
        ("refuse", "builtins.ValueError", "ValueError: not with me"),
        ("stumble", "builtins.KeyError", "KeyError: 'title'"),
        ("quit", "builtins.SystemExit", "SystemExit: 7"),
    ],
)
def test_a_defect_keeps_its_class_and_its_traceback_and_is_retried(
    sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture, function: str, error_class: str, message: str
) -> None:
    with pytest.raises(ChildFailed) as raised:
        call(sandbox, function, tmp_path)
    error = raised.value
    assert (error.code, error.error_class, error.message) == ("failed", error_class, message)
    assert error.retryable
    assert "tests/probe/child.py" in caplog.text
    assert f"tests.probe.child:{function}" in caplog.text


def test_an_error_with_a_code_is_for_the_user(
    sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The error itself decides whether another attempt may help."""
    with pytest.raises(ChildFailed) as raised:
        call(sandbox, "put_off", tmp_path)
    error = raised.value
    assert (error.code, error.message, error.retryable) == ("not_today", "come back tomorrow", True)
    assert not caplog.text


@pytest.mark.parametrize("function", ["spin", "swell", "abort"])
def test_the_words_on_a_limit_name_the_function(sandbox: Sandbox, tmp_path: Path, function: str) -> None:
    """The sandbox does not know whether a function reads a document."""
    with pytest.raises(ChildFailed) as raised:
        call(sandbox, function, tmp_path)
    assert raised.value.message.startswith(f"tests.probe.child:{function} ")
    assert "reading" not in raised.value.message
    assert not raised.value.retryable


def test_a_module_that_cannot_be_imported(tmp_path: Path) -> None:
    """Each call gets the reason, and does not count as a crash."""
    sandbox = Sandbox(memory=1 << 30, seconds=2, modules=["tests.probe.broken"])
    try:
        for _ in range(2):
            with pytest.raises(ChildFailed, match="ImportError: the library for lamps is not installed"):
                call(sandbox, "sleep", tmp_path)
    finally:
        sandbox.close()


def test_cancelling_kills_the_child(sandbox: Sandbox, tmp_path: Path) -> None:
    async def main() -> None:
        arguments = {"seconds": 60, "ledger": str(tmp_path / "ledger"), "name": "x"}
        task = asyncio.create_task(
            sandbox.run("tests.probe.child:sleep", arguments, files=ChildFiles(folder=str(tmp_path)))
        )
        while not (tmp_path / "ledger").exists():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    pid = int((tmp_path / "ledger").read_text().split()[3])
    assert gone(pid)


def test_the_server_is_started_again(sandbox: Sandbox, tmp_path: Path) -> None:
    call(sandbox, "sleep", tmp_path)
    assert sandbox._server is not None
    sandbox._server.kill()
    sandbox._server.wait()
    assert call(sandbox, "sleep", tmp_path)["pid"]


def test_children_die_with_their_server(sandbox: Sandbox, tmp_path: Path) -> None:
    async def main() -> None:
        arguments = {"seconds": 60, "ledger": str(tmp_path / "ledger"), "name": "x"}
        task = asyncio.create_task(
            sandbox.run("tests.probe.child:sleep", arguments, files=ChildFiles(folder=str(tmp_path)))
        )
        while not (tmp_path / "ledger").exists():
            await asyncio.sleep(0.01)
        assert sandbox._server is not None
        sandbox._server.kill()
        with pytest.raises(ChildCrashed):
            await task

    asyncio.run(main())
    assert gone(int((tmp_path / "ledger").read_text().split()[3]))


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text():
            return True
        time.sleep(0.02)
    return False
