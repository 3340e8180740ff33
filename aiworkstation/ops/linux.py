"""Kernel features that `os` lacks: prctl(2), madvise(2), capset(2), control groups. On other systems they do less."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

CAP_DAC_OVERRIDE = 1
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
# The same on all processors that Linux has gained since 2011, and on x86.
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_VERSION = 1
_LANDLOCK_PATH_BENEATH = 1
_MADV_COLLAPSE = 25
_HUGE_PAGE = 2 << 20
# A container's own limit, in control groups of version 2 and 1.
_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Asks the kernel to send this process a signal when the thread that started it ends.

    Call it in the child before exec, and again after a change of user, which clears it.
    """
    if sys.platform == "linux":
        _call("prctl", _PR_SET_PDEATHSIG, number, 0, 0, 0)


def kill_group(pid: int) -> None:
    """Kills a process that leads a group, and the whole group. It is not an error if it has ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def name_process(name: str) -> None:
    """Sets the name that `ps` and `top` show. The kernel keeps 15 bytes of it."""
    if sys.platform == "linux":
        _call("prctl", _PR_SET_NAME, name.encode(), 0, 0, 0)


def memory_bytes(limits: Iterable[Path] = _MEMORY_LIMITS) -> int:
    """Bytes of memory that this machine has, or that its container may use."""
    bytes_of_machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = [bytes_of_machine]
    for limit in limits:
        with suppress(OSError, ValueError):  # no such file; "max" is no limit
            found.append(int(limit.read_text()))
    return min(found)


def use_huge_pages() -> None:
    """Moves this process's memory to pages of 2 MB where possible, because a fork copies the table of all pages.

    It needs Linux 6.1. On older and other systems it does nothing.
    """
    if sys.platform != "linux":
        return
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, mode, _, _, inode, *_ = line.split()
        start, end = (int(place, 16) for place in span.split("-"))
        start, end = -(-start // _HUGE_PAGE) * _HUGE_PAGE, end // _HUGE_PAGE * _HUGE_PAGE
        if (mode, inode) == ("rw-p", "0") and start < end:
            with suppress(OSError):
                _call("madvise", start, end - start, _MADV_COLLAPSE)


def become(uid: int, gid: int) -> None:
    """Changes from root to another user, who can still enter directories that are closed to other users.

    This process and the programs that it starts keep CAP_DAC_OVERRIDE, and no other capability of root. So a checkout
    below /root works although /root stays closed.
    """
    if sys.platform == "linux":
        # Keeps capabilities through setuid(2), and makes access(2) respect them: initdb calls it to find postgres.
        with suppress(PermissionError):
            _call("prctl", _PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if sys.platform == "linux":
        try:
            _set_capabilities(1 << CAP_DAC_OVERRIDE)
            _call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)
        except PermissionError:
            # A container may not grant it. Then the directories must be open to that user.
            _set_capabilities(0)


def set_no_new_privileges() -> None:
    """No program that this process starts gets more rights than it has. Filters of system calls need this."""
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def set_seccomp_filter(program: int) -> None:
    """Installs the filter at this address, a `struct sock_fprog`, for good."""
    _call("prctl", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_void_p(program), 0, 0)


def landlock_abi() -> int:
    """Returns the version of Landlock, 0 if the kernel has none."""
    try:
        return _system_call(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION)
    except OSError:
        return 0


def landlock_ruleset(files: int, network: int, scopes: int) -> int:
    """Returns the descriptor of a set of rules. These rights are refused wherever no rule allows them."""
    attributes = (ctypes.c_uint64 * 3)(files, network, scopes)
    size = 24 if scopes else 16 if network else 8
    return _system_call(_LANDLOCK_CREATE_RULESET, attributes, size, 0)


def landlock_allow(ruleset: int, parent: int, rights: int) -> None:
    """Allows these rights on the file or below the folder that `parent` is a descriptor of."""
    rule = rights.to_bytes(8, sys.byteorder) + parent.to_bytes(4, sys.byteorder)
    _system_call(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_PATH_BENEATH, ctypes.c_char_p(rule), 0)


def landlock_restrict(ruleset: int) -> None:
    """Applies the rules to this thread and its children, for good. It needs `set_no_new_privileges`."""
    _system_call(_LANDLOCK_RESTRICT_SELF, ruleset, 0)


def _set_capabilities(bits: int) -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Effective, permitted, inheritable: first for the capabilities 0 to 31, then for those from 32 on.
    _call("capset", header, (ctypes.c_uint32 * 6)(bits, bits, bits, 0, 0, 0))


@cache
def _libc() -> ctypes.CDLL:
    """Opened once, because this takes longer than a call. The children of a fork server inherit it."""
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    numbers = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    if getattr(_libc(), name)(*numbers) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def _system_call(number: int, *arguments: object) -> int:
    """A call that the C library has no function for."""
    numbers = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(_libc().syscall(ctypes.c_long(number), *numbers))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"system call {number}: {os.strerror(error)}")
    return result
