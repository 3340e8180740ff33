"""What a child process may touch: its code, the files it was given, and its own folder.

Landlock (Linux 5.13) limits files and connections, seccomp refuses system calls. A function in the child can open no
socket, start no process or program, signal no other process, and read neither secrets nor other processes' `/proc`. A
kernel that lacks one of them does less: `missing()` lists what.

Sources: landlock(7), seccomp(2), and the kernel's `include/uapi/linux/landlock.h`.
"""

import ctypes
import os
import platform
import resource
import site
import stat
import struct
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOSYS, EPERM
from functools import cache
from pathlib import Path

from aiworkstation.ops import linux

MAX_OPEN_FILES = 256
MAX_FILE_BYTES = 2 << 30

# Landlock's rights on files, in the order of its versions (ABIs).
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REGULAR, _REFER, _TRUNCATE = 1 << 7, 1 << 8, 1 << 13, 1 << 14
_READ = _READ_FILE | _READ_DIR
_OWN = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REGULAR | _TRUNCATE
"""No links, devices, pipes or sockets: the worker that reads the folder later must find plain files."""
_RIGHTS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_FILE_ONLY = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_NETWORK = 0b11  # bind and connect, from ABI 4 on
_SCOPES = 0b11  # abstract sockets and signals, from ABI 6 on

# Files of the system that libraries read when they are loaded or asked for the first time.
SYSTEM_FILES = (
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/dev/null",
    "/dev/urandom",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
)


@dataclass(frozen=True)
class ChildFiles:
    """`reads` are files and folders that the child may read. In `folder` it may also write."""

    reads: tuple[str, ...] = ()
    folder: str | None = None


class Confinement:
    """Made once in the fork server, and applied in each child."""

    def __init__(self) -> None:
        self._code = [(descriptor, _is_folder(descriptor)) for descriptor in map(_opened, code_paths())]

    def apply(self, files: ChildFiles) -> None:
        """Confines this process, for good."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
        os.chdir(files.folder or "/")
        tempfile.tempdir = files.folder
        if sys.platform != "linux":
            return
        linux.set_no_new_privileges()
        if landlock_abi():
            self._restrict_files(files)
        if _is_known_machine():
            _refuse_calls(os.getpid())

    def _restrict_files(self, files: ChildFiles) -> None:
        abi = landlock_abi()
        rights = (1 << _RIGHTS_OF_ABI.get(abi, 16)) - 1
        ruleset = linux.landlock_ruleset(rights, _NETWORK if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
        for descriptor, is_folder in self._code:
            _allow(ruleset, descriptor, _READ & rights, is_folder=is_folder)
        for descriptor in map(_opened, files.reads):
            _allow(ruleset, descriptor, _READ & rights, is_folder=_is_folder(descriptor))
        if files.folder:
            _allow(ruleset, _opened(files.folder), (_OWN | _REFER) & rights, is_folder=True)
        linux.landlock_restrict(ruleset)


def missing() -> list[str]:
    """What this machine lacks to confine children. Empty if nothing."""
    found = [] if landlock_abi() else ["Landlock"]
    return found if _is_known_machine() else [*found, "seccomp"]


@cache
def landlock_abi() -> int:
    """Returns the version of the kernel's Landlock, 0 if it has none."""
    return linux.landlock_abi() if sys.platform == "linux" else 0


def code_paths() -> list[str]:
    """The code and libraries that the child may read, but not the project's own folder, which has `.env` and data."""
    whole = {sys.prefix, sys.base_prefix, *site.getsitepackages(), *SYSTEM_FILES}
    found = {path for path in whole if os.path.exists(path)}
    for entry in {path or os.getcwd() for path in sys.path}:
        if not any(Path(entry).is_relative_to(path) for path in found):
            found |= set(_packages_in(entry))
    return sorted(found)


def _packages_in(folder: str) -> Iterable[str]:
    """Modules and packages directly in a folder of `sys.path`."""
    with suppress(OSError):
        for item in os.scandir(folder):
            is_module = item.name.endswith((".py", ".so", ".zip")) and not item.name.startswith(".")
            if is_module or (item.is_dir() and _is_package(item.path)):
                yield item.path


def _is_package(folder: str) -> bool:
    with suppress(OSError):
        return any(item.name.endswith(".py") for item in os.scandir(folder))
    return False


def _opened(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def _is_folder(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def _allow(ruleset: int, descriptor: int, rights: int, *, is_folder: bool) -> None:
    linux.landlock_allow(ruleset, descriptor, rights if is_folder else rights & _FILE_ONLY)


# seccomp: a program of the old packet filters (BPF), which runs at each system call.

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE_THREAD = 0x10000
_FIRST_X32_CALL = 0x40000000
# Numbers on x86_64 and aarch64; None where there is no such call.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "open_by_handle_at": (304, 265),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "memfd_create": (319, 279),
}
_CLONE, _CLONE3 = (56, 220), (435, 435)
# Allowed for this process itself only: `abort` sends a signal with the first, getrlimit reads with the second.
_FOR_ITSELF = {"tgkill": (234, 131), "rt_tgsigqueueinfo": (297, 240), "prlimit64": (302, 261)}

_LOAD, _EQUAL, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_AT_NUMBER, _AT_ARCHITECTURE, _AT_FIRST_ARGUMENT = 0, 4, 16


_INSTRUCTION = struct.Struct("HBBI")
"""Code, jump if true, jump if false, operand."""


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("first", ctypes.c_char_p)]


def _is_known_machine() -> bool:
    return sys.platform == "linux" and platform.machine() in _ARCHITECTURES


def _refuse_calls(pid: int) -> None:
    """Installs the filter in this process."""
    column = list(_ARCHITECTURES).index(platform.machine())
    refuse, allow = (_RETURN, 0, 0, _ERROR | EPERM), (_RETURN, 0, 0, _ALLOW)
    lines: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCHITECTURES[platform.machine()]),
        refuse,
        (_LOAD, 0, 0, _AT_NUMBER),
        (_AT_LEAST, 0, 1, _FIRST_X32_CALL),
        refuse,
    ]
    for numbers in _REFUSED.values():
        if (number := numbers[column]) is not None:
            lines += [(_EQUAL, 0, 1, number), refuse]
    # The C library then uses clone, whose flags can be read here.
    lines += [(_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, _ERROR | ENOSYS)]
    lines += [
        (_EQUAL, 0, 4, _CLONE[column]),
        (_LOAD, 0, 0, _AT_FIRST_ARGUMENT),
        (_HAS_BITS, 0, 1, _CLONE_THREAD),
        allow,
        refuse,
    ]
    for numbers in _FOR_ITSELF.values():
        lines += [
            (_EQUAL, 0, 5, numbers[column]),
            (_LOAD, 0, 0, _AT_FIRST_ARGUMENT),
            (_EQUAL, 1, 0, pid),
            (_EQUAL, 0, 1, 0),
            allow,
            refuse,
        ]
    lines.append(allow)
    program = _Program(len(lines), b"".join(_INSTRUCTION.pack(*line) for line in lines))
    linux.set_seccomp_filter(ctypes.addressof(program))
