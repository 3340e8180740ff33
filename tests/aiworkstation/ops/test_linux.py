"""What a process keeps of root's rights when it becomes another user, and how much memory there is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from aiworkstation import BASE_DIR
from aiworkstation.ops import linux

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
KERNEL = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
MAY_COLLAPSE = KERNEL >= (6, 1) and Path("/sys/kernel/mm/transparent_hugepage").exists()
BECOME = "import os, sys; from aiworkstation.ops import linux; linux.become(65534, 65534); "


def as_nobody(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BECOME + program, *arguments],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@as_root
def test_closed_directories_can_be_passed_by_programs_too(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "program").write_text("#!/bin/sh\nid -u")
    (closed / "program").chmod(0o711)
    assert as_nobody("print(os.access(sys.argv[1], os.R_OK | os.X_OK))", str(closed / "program")) == "True"
    assert as_nobody("os.execv(sys.argv[1], sys.argv[1:])", str(closed / "program")) == "65534"


@as_root
def test_no_other_capability_is_kept() -> None:
    kept = as_nobody("os.execv('/bin/grep', ['grep', '^Cap[IPEA]', '/proc/self/status'])")
    assert {int(line.split()[1], 16) for line in kept.splitlines()} == {1 << linux.CAP_DAC_OVERRIDE}


@as_root
def test_it_cannot_become_root_again() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        as_nobody("os.setuid(0)")


def test_a_container_may_have_less_memory_than_the_machine(tmp_path: Path) -> None:
    unlimited, limited, absent = tmp_path / "unlimited", tmp_path / "limited", tmp_path / "absent"
    unlimited.write_text("max\n")
    limited.write_text("1073741824\n")
    machine = psutil.virtual_memory().total
    assert linux.memory_bytes([unlimited, absent]) == machine
    assert linux.memory_bytes([absent, unlimited, limited]) == min(machine, 1 << 30)


@pytest.mark.skipif(not MAY_COLLAPSE, reason="it takes Linux 6.1, built with huge pages")
def test_memory_moves_to_huge_pages() -> None:
    program = (
        "import re; from pathlib import Path; from aiworkstation.ops import linux\n"
        "kept = [bytes(100_000) for _ in range(640)]; linux.use_huge_pages()\n"
        "print(re.search(r'AnonHugePages: +([0-9]+)', Path('/proc/self/smaps_rollup').read_text())[1])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=BASE_DIR, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 32_000, "kB of 64 MB"
