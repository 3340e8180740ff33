"""Functions that PROBE_CHILD runs in a child process, without Django."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

OnProgress = Callable[[int, int], None]


def sleep(arguments: dict[str, Any], report: OnProgress) -> dict[str, Any]:
    with Path(arguments["ledger"]).open("a") as ledger:
        ledger.write(f"child {arguments['name']} 0 {os.getpid()} {time.time():.3f}\n")
    report(1, 2)
    time.sleep(arguments["seconds"])
    return {"pid": os.getpid(), "names": sorted(os.environ)}


def die(arguments: dict[str, Any], report: OnProgress) -> None:
    signal.raise_signal(signal.SIGKILL)


def leave(arguments: dict[str, Any], report: OnProgress) -> None:
    os._exit(3)


def refuse(arguments: dict[str, Any], report: OnProgress) -> None:
    raise ValueError("not with me")


class NotToday(Exception):
    """An error that its author raises on purpose."""

    code = "not_today"
    retryable = True


def put_off(arguments: dict[str, Any], report: OnProgress) -> None:
    raise NotToday("come back tomorrow")


def stumble(arguments: dict[str, Any], report: OnProgress) -> object:
    lamp: dict[str, str] = {}
    return lamp["title"]


def quit(arguments: dict[str, Any], report: OnProgress) -> None:
    raise SystemExit(7)


def swell(arguments: dict[str, Any], report: OnProgress) -> int:
    return len(bytearray(1 << 40))


def burn(arguments: dict[str, Any], report: OnProgress) -> int:
    """Uses the processor for so many seconds."""
    rounds = 0
    while time.process_time() < arguments["seconds"]:
        rounds += 1
    return rounds


def spin(arguments: dict[str, Any], report: OnProgress) -> None:
    while True:
        pass


def abort(arguments: dict[str, Any], report: OnProgress) -> None:
    os.abort()
