"""Plain django-q2 tasks."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def slow(ledger: str) -> None:
    with Path(ledger).open("a") as file:
        file.write(f"plain {os.getpid()}\n")
    time.sleep(60)


def note(ledger: str, word: str) -> None:
    with Path(ledger).open("a") as file:
        file.write(f"plain {word}\n")


hooked: list[object] = []


def hook(task: object) -> None:
    hooked.append(task)


def leave(ledger: str, how: str) -> None:
    """Ends the worker function in a way that is no `Exception`."""
    note(ledger, how)
    if how == "sys.exit":
        sys.exit(3)
    raise {"KeyboardInterrupt": KeyboardInterrupt, "GeneratorExit": GeneratorExit}[how]


def die(ledger: str, how: str) -> None:
    """Ends its process silently, as a segmentation fault or the kernel does when memory is short."""
    note(ledger, how)
    if how == "os._exit":
        os._exit(1)
    os.kill(os.getpid(), {"SIGKILL": signal.SIGKILL, "SIGSEGV": signal.SIGSEGV}[how])


def unreadable(*names: str) -> None:
    """Is not to be called: its arguments cannot be unpickled."""


class Unreadable:
    def __reduce__(self) -> tuple[Any, ...]:
        return raise_lookup_error, ()


def raise_lookup_error() -> None:
    raise LookupError("this class is gone")
