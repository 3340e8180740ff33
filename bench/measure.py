"""One measurement of one contestant, in its own interpreter: `python -m bench.measure FIGURE MODULE:CLASS VARIANT`.

Prints a record as JSON on the last line. Times are those of the marks; "from the commit" is from the moment when the
storing call came back.
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

from bench import marks
from bench.contestant import Contestant, Skipped
from bench.load import Meter, tree
from bench.place import BASE, ROOT

Record = dict[str, Any]
STEPS = 10
COME_UP = 40.0
STOP = 15.0
CAP = 12.0
"""Seconds after which what has been done by then is counted."""
WARM = 1_000_000


@contextmanager
def workers(contestant: Contestant) -> Iterator[list[int]]:
    """Runs the contestant's worker processes; at the end kills what is left of their trees."""
    environment = contestant.environment()
    with (BASE / "workers.log").open("ab") as log:
        started = [
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            for command in contestant.commands()
        ]
    try:
        yield [process.pid for process in started]
    finally:
        everything = tree(process.pid for process in started)
        for process in started:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP
        for process in started:
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for each in everything:
            if each.is_running():
                each.kill()


def warm_up(contestant: Contestant, *, with_steps: bool) -> None:
    """Both workers have surely started when a few probes have run, and a while after."""
    for number in range(8):
        contestant.start(WARM + number, 2) if with_steps else contestant.send(WARM + number)
    if not marks.wait_for(16 if with_steps else 8, COME_UP):
        raise RuntimeError("the workers did not come up")
    time.sleep(1)
    for number in range(8):
        contestant.start(WARM + number, 2) if with_steps else contestant.send(WARM + number)
    time.sleep(1)
    marks.clear()


def steps(contestant: Contestant, *, is_slow: bool) -> Record:
    """Workflows of ten steps: one at a time, then many at once."""
    with workers(contestant) as pids:
        warm_up(contestant, with_steps=True)
        meter = Meter(pids)
        single = [one_alone(contestant, number) for number in range(4 if is_slow else 25)]
        cost = meter.read()
        runs = {str(many): many_at_once(contestant, many, pids) for many in ((40,) if is_slow else (200, 2000))}
    return {"ms": single, "runs": runs, "cost": dataclasses.asdict(cost)}


def one_alone(contestant: Contestant, number: int) -> float:
    """Milliseconds until an eleventh step begins, so that the tenth is recorded."""
    time.sleep(random.uniform(0.02, 0.12))
    marks.clear()
    began = time.time_ns()
    contestant.start(number, STEPS + 1)
    if not marks.wait_for(STEPS + 1, 30):
        raise RuntimeError("a workflow did not end")
    return (max(each.at for each in marks.read()) - began) / 1e6


def many_at_once(contestant: Contestant, executions: int, pids: list[int]) -> Record:
    """Starts them one after the other, and counts the steps from the first start until all have begun."""
    time.sleep(0.5)
    marks.clear()
    meter = Meter(pids)
    began = time.time_ns()
    for number in range(executions):
        contestant.start(number, STEPS)
    started = time.time_ns()
    is_whole = marks.wait_for(executions * STEPS, CAP, every=0.02)
    cost = meter.read()
    found = marks.read()
    ended = max(each.at for each in found)
    if is_whole:
        time.sleep(0.5)
        contestant.check()
    return {
        "per_second": len(found) / ((ended - began) / 1e9),
        "start_seconds": (started - began) / 1e9,
        "steps": len(found),
        "is_whole": is_whole,
        "processes": len({each.pid for each in found}),
        "cost": dataclasses.asdict(cost),
    }


def pickup(contestant: Contestant, *, is_slow: bool) -> Record:
    """From the commit to the first line, by a worker that is idle; a random pause, so that no poll is met in phase."""
    taken = []
    with workers(contestant) as pids:
        warm_up(contestant, with_steps=False)
        meter = Meter(pids)
        for number in range(60):
            time.sleep(random.uniform(0.02, 0.14))
            marks.clear()
            committed = contestant.send(number) or time.time_ns()
            if not marks.wait_for(1, 15):
                raise RuntimeError("a task was not picked up")
            taken.append((marks.read()[0].at - committed) / 1e6)
        cost = meter.read()
    return {"ms": taken, "cost": dataclasses.asdict(cost)}


def plain(contestant: Contestant, *, is_slow: bool) -> Record:
    """Tasks are stored first; then two workers start and drain them, until each is acknowledged."""
    tasks = 600 if is_slow else 4000
    began = time.monotonic()
    for number in range(tasks):
        contestant.send(number)
    sending = time.monotonic() - began
    with workers(contestant) as pids:
        if not marks.wait_for(1, COME_UP, every=0.001):
            raise RuntimeError("the workers did not come up")
        meter = Meter(pids)
        before = marks.count()
        deadline = time.monotonic() + CAP
        while (left := contestant.pending()) and time.monotonic() < deadline:
            time.sleep(0.02)
        cost = meter.read()
        done = min(marks.count(), tasks - left) - before
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
        contestant: Contestant = getattr(importlib.import_module(module), name)(variant)
        contestant.prepare()
        contestant.connect()
        marks.clear()
        record = FIGURES[figure](contestant, **json.loads(options))
    except Skipped as error:
        record = {"skipped": str(error)}
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
