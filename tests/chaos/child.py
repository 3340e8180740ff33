"""What CHAOS_CHILD runs in a child process, without Django."""

import time
from collections.abc import Callable
from typing import Any

from tests.chaos.ledger import ALIVE, END, START, Writer

SLICE = 0.2


def work(arguments: dict[str, Any], report: Callable[[int, int], None]) -> str:
    run = Writer(arguments["ledger"], arguments["step"], arguments["attempt"], "process", arguments["holder"])
    run.write(START)
    until = time.monotonic() + arguments["seconds"]
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, SLICE))
        run.write(ALIVE)
    run.write(END)
    return "done"
