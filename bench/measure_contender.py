"""Measures one figure of one contender, in the interpreter that has its packages.

    python -m bench.measure_contender FIGURE MODULE:CLASS VARIANT OPTIONS

The last line of the output is a record as JSON. Times are taken from the marks. "From the commit" is from the moment
when the call that stored the task returned.
"""

import dataclasses
import importlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench import start_marks
from bench.adapter import Adapter, Skipped
from bench.resource_usage import UsageMeter, process_tree
from bench.run_environment import BASE, ROOT

Record = dict[str, Any]
STEPS = 10
START_SECONDS = 40.0
STOP_SECONDS = 15.0
CAP = 12.0
"""Seconds after which the finished part is counted."""
WARM_UP_NUMBER = 1_000_000


@contextmanager
def workers(adapter: Adapter) -> Iterator[list[int]]:
    """Runs the contender's worker processes. At the end, kills what is left of their process trees."""
    environment = adapter.environment()
    with (BASE / "workers.log").open("ab") as log:
        started = [
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            for command in adapter.commands()
        ]
    try:
        yield [process.pid for process in started]
    finally:
        everything = process_tree(process.pid for process in started)
        for process in started:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in started:
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for each in everything:
            if each.is_running():
                each.kill()


def warm_up(adapter: Adapter, *, with_steps: bool) -> None:
    """Runs a few tasks and waits a second after them, so that both workers have started."""
    for number in range(8):
        adapter.start(WARM_UP_NUMBER + number, 2) if with_steps else adapter.send(WARM_UP_NUMBER + number)
    if not start_marks.wait_for(16 if with_steps else 8, START_SECONDS):
        raise RuntimeError("the workers did not come up")
    time.sleep(1)
    for number in range(8):
        adapter.start(WARM_UP_NUMBER + number, 2) if with_steps else adapter.send(WARM_UP_NUMBER + number)
    time.sleep(1)
    start_marks.clear()


def steps(adapter: Adapter, *, is_slow: bool) -> Record:
    """Measures workflows of ten steps: one at a time, then many at once."""
    with workers(adapter) as pids:
        warm_up(adapter, with_steps=True)
        meter = UsageMeter(pids)
        single = [one_alone(adapter, number) for number in range(4 if is_slow else 25)]
        cost = meter.read()
        runs = {str(many): many_at_once(adapter, many, pids) for many in ((40,) if is_slow else (200, 2000))}
    return {"ms": single, "runs": runs, "cost": dataclasses.asdict(cost)}


def one_alone(adapter: Adapter, number: int) -> float:
    """Returns the milliseconds until an eleventh step begins, because then the tenth is recorded."""
    time.sleep(random.uniform(0.02, 0.12))
    start_marks.clear()
    began = time.time_ns()
    adapter.start(number, STEPS + 1)
    if not start_marks.wait_for(STEPS + 1, 30):
        raise RuntimeError("a workflow did not end")
    return (max(each.at for each in start_marks.read()) - began) / 1e6


def many_at_once(adapter: Adapter, executions: int, pids: list[int]) -> Record:
    """Starts the workflows one after the other, and counts the steps from the first start until all have begun."""
    time.sleep(0.5)
    start_marks.clear()
    meter = UsageMeter(pids)
    began = time.time_ns()
    for number in range(executions):
        adapter.start(number, STEPS)
    started = time.time_ns()
    is_whole = start_marks.wait_for(executions * STEPS, CAP, every=0.02)
    cost = meter.read()
    found = start_marks.read()
    ended = max(each.at for each in found)
    if is_whole:
        time.sleep(0.5)
        adapter.check()
    return {
        "per_second": len(found) / ((ended - began) / 1e9),
        "start_seconds": (started - began) / 1e9,
        "steps": len(found),
        "is_whole": is_whole,
        "processes": len({each.pid for each in found}),
        "cost": dataclasses.asdict(cost),
    }


def pickup(adapter: Adapter, *, is_slow: bool) -> Record:
    """Measures from the commit to the first line of a task, with idle workers. Random pauses avoid poll rhythms."""
    taken = []
    with workers(adapter) as pids:
        warm_up(adapter, with_steps=False)
        meter = UsageMeter(pids)
        for number in range(60):
            time.sleep(random.uniform(0.02, 0.14))
            start_marks.clear()
            committed = adapter.send(number) or time.time_ns()
            if not start_marks.wait_for(1, 15):
                raise RuntimeError("a task was not picked up")
            taken.append((start_marks.read()[0].at - committed) / 1e6)
        cost = meter.read()
    return {"ms": taken, "cost": dataclasses.asdict(cost)}


def plain(adapter: Adapter, *, is_slow: bool) -> Record:
    """Stores the tasks, then starts two workers and measures until all tasks are acknowledged."""
    tasks = 600 if is_slow else 4000
    began = time.monotonic()
    for number in range(tasks):
        adapter.send(number)
    sending = time.monotonic() - began
    with workers(adapter) as pids:
        if not start_marks.wait_for(1, START_SECONDS, every=0.001):
            raise RuntimeError("the workers did not come up")
        meter = UsageMeter(pids)
        before = start_marks.count()
        deadline = time.monotonic() + CAP
        while (left := adapter.pending()) and time.monotonic() < deadline:
            time.sleep(0.02)
        cost = meter.read()
        done = min(start_marks.count(), tasks - left) - before
    return {
        "per_second": done / cost.wall,
        "sent_per_second": tasks / sending,
        "steps": done,
        "is_whole": left == 0,
        "cost": dataclasses.asdict(cost),
    }


FIGURES = {"steps": steps, "pickup": pickup, "plain": plain}


def main() -> None:
    figure, place, variant, options = sys.argv[1:]
    module, _, name = place.partition(":")
    try:
        adapter: Adapter = getattr(importlib.import_module(module), name)(variant)
        adapter.prepare()
        adapter.connect()
        start_marks.clear()
        record = FIGURES[figure](adapter, **json.loads(options))
    except Skipped as error:
        record = {"skipped": str(error)}
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
