"""A parser that a document has taken over: what it can reach from the sandbox's child process."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aiworkstation import BASE_DIR
from documents.errors import DocumentError
from documents.reading.archive_members import _path_of
from workflows.errors import ChildCrashed, ChildFailed
from workflows.worker.sandbox import confinement
from workflows.worker.sandbox.client import Sandbox
from workflows.worker.sandbox.confinement import ChildFiles

pytestmark = pytest.mark.skipif(bool(confinement.missing()), reason=f"this kernel lacks {confinement.missing()}")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox(memory=1 << 30, seconds=20)
    yield sandbox
    sandbox.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the user that the child runs as."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    yield process
    process.kill()
    process.wait()


def run(sandbox: Sandbox, folder: Path, function: str, reads: tuple[str, ...] = (), **arguments: Any) -> Any:
    files = ChildFiles(reads, str(folder))
    return asyncio.run(sandbox.run(f"tests.attacks.hostile_child:{function}", arguments, files=files))


def attempt(sandbox: Sandbox, folder: Path, name: str, target: str = "") -> str:
    return str(run(sandbox, folder, "attempt", name=name, target=target))


def test_it_works(sandbox: Sandbox, folder: Path) -> None:
    (folder.parent / "given").write_text("text")
    run(sandbox, folder, "attempt", name="write", target="result")
    assert (folder / "result").read_text() == "mine"
    given = str(folder.parent / "given")
    assert "text" in run(sandbox, folder, "attempt", (given,), name="read", target=given)
    assert run(sandbox, folder, "threads") == 4


def test_it_connects_nowhere(sandbox: Sandbox, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(folder / "socket"))
        local.listen()
        assert attempt(sandbox, folder, "connect", f"127.0.0.1:{server.getsockname()[1]}") == "PermissionError 1"
        assert attempt(sandbox, folder, "connect_unix", str(folder / "socket")) == "PermissionError 1"
        assert attempt(sandbox, folder, "send_packet") == "PermissionError 1"


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "/etc/hostname",
        "/proc/1/environ",
        "/proc/self/environ",
        "/proc/{pid}/cmdline",
        "/proc/{pid}/environ",
        "{project}/README.md",
        "{project}/.env.example",
        "/root/.bashrc",
        "/dev/sda",
        "/dev/vda",
        "/dev/mem",
    ],
)
def test_it_reads_nothing_else(sandbox: Sandbox, folder: Path, target: str) -> None:
    path = target.format(pid=os.getpid(), project=BASE_DIR)
    assert attempt(sandbox, folder, "read", path).startswith(("PermissionError", "FileNotFoundError"))


@pytest.mark.parametrize("target", ["/etc", "/proc", "/tmp", "{project}", "/root", "/home"])
def test_it_lists_nothing_else(sandbox: Sandbox, folder: Path, target: str) -> None:
    assert attempt(sandbox, folder, "list", target.format(project=BASE_DIR)).startswith(
        ("PermissionError", "FileNotFoundError")
    )


def test_it_reads_no_other_document(sandbox: Sandbox, folder: Path) -> None:
    (folder.parent / "other").write_text("another user's")
    for name in ("read", "append", "write", "remove", "rename", "hard_link"):
        assert attempt(sandbox, folder, name, str(folder.parent / "other")).startswith(("PermissionError", "OSError"))
    assert (folder.parent / "other").read_text() == "another user's"


@pytest.mark.parametrize(
    "target",
    [
        "/tmp/of-a-hostile-parser",
        "/dev/shm/of-a-hostile-parser",
        "{project}/workflows/attack.py",
        "../attack",
        "/usr/attack",
    ],
)
def test_it_writes_nowhere_else(sandbox: Sandbox, folder: Path, target: str) -> None:
    path = target.format(project=BASE_DIR)
    assert attempt(sandbox, folder, "write", path).startswith("PermissionError")
    assert not (folder / path).exists()


@pytest.mark.parametrize("name", ["link", "make_pipe"])
def test_it_makes_plain_files_only(sandbox: Sandbox, folder: Path, name: str) -> None:
    assert attempt(sandbox, folder, name, "/etc/passwd").startswith("PermissionError")
    assert os.listdir(folder) == []


@pytest.mark.parametrize("name", ["fork", "run", "exec", "kill_parent", "kill_all", "become_root"])
def test_it_starts_and_ends_no_process(sandbox: Sandbox, folder: Path, name: str) -> None:
    assert attempt(sandbox, folder, name).startswith("PermissionError")
    assert run(sandbox, folder, "threads") == 4


@pytest.mark.parametrize("name", ["kill_by_thread", "trace"])
def test_it_touches_no_other_process(
    sandbox: Sandbox, folder: Path, bystander: subprocess.Popen[bytes], name: str
) -> None:
    assert attempt(sandbox, folder, name, str(bystander.pid)) == "PermissionError 1"


def test_it_is_not_root_and_inherits_nothing(sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_CRM", "swordfish")
    found = run(sandbox, folder, "who")
    assert found["uid"] != 0
    assert found["no_new_privs"] == 1
    assert len(found["descriptors"]) == 4, "the standard three, which lead nowhere, and the socket for its answer"
    assert not {name for name in found["names"] if name not in ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR")}


def test_it_cannot_fill_the_disk(sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((ChildFailed, ChildCrashed)):
        run(sandbox, folder, "fill_disk")
    assert (folder / "big").stat().st_size <= confinement.MAX_FILE_BYTES
    (folder / "big").unlink()


def test_it_cannot_open_files_without_end(sandbox: Sandbox, folder: Path) -> None:
    with pytest.raises(ChildFailed, match="Too many open files"):
        run(sandbox, folder, "open_many")


def test_it_has_no_other_process_killed(sandbox: Sandbox, folder: Path, bystander: subprocess.Popen[bytes]) -> None:
    """An answer that names a process id leads nowhere."""
    assert run(sandbox, folder, "answer_for_another", pid=bystander.pid) == "forged"
    assert bystander.poll() is None


@pytest.mark.parametrize(
    "text",
    ["no json", "[]", '{"error": 1}', '{"error": {}}', '{"progress": 3}', '{"progress": ["a", {}]}', "[" * 9999, "7"],
)
def test_nonsense_is_a_crash(sandbox: Sandbox, folder: Path, text: str) -> None:
    with pytest.raises(ChildCrashed):
        asyncio.run(
            sandbox.run(
                "tests.attacks.hostile_child:answer_nonsense",
                {"text": text},
                lambda done, total: None,
                files=ChildFiles(folder=str(folder)),
            )
        )


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "link", "pipe", "nothing", "", "."])
def test_a_member_is_a_plain_file_of_the_folder(folder: Path, name: str) -> None:
    (folder.parent / "secret").write_text("another user's")
    (folder / "link").symlink_to(folder.parent / "secret")
    os.mkfifo(folder / "pipe")
    with pytest.raises(DocumentError):
        _path_of(folder, name)
