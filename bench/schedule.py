"""Runs the measurements interleaved: every contender once, then all again."""

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.contenders import Contender, contenders_for
from bench.run_environment import PYTHON, RECORDS, ROOT, child_environment

Record = dict[str, Any]
FIGURES = ("limits", "steps", "pickup", "plain", "starting", "growth", "memory")
ON_ANY_SERVER = ("steps", "pickup", "plain", "starting")
"""The other figures need the files or programs of the embedded server."""
MODULES = {"limits": "bench.postgres_limits", "starting": "bench.job_starts"}
ONCE = {"growth", "memory"}
TIMEOUT = 1200


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `held` is the duration of the long transaction in seconds. A measurement is repeated once if other
    processes used a larger share of the machine than `disturbed`.
    """

    figures: tuple[str, ...]
    repeats: int
    held: float
    disturbed: float


def run(plan: Plan) -> Iterator[tuple[str, str, Record]]:
    """Yields figure, contender and record, as soon as each is measured."""
    for repeat in range(plan.repeats):
        for figure in plan.figures:
            if figure in ONCE:
                continue
            for name, record in _repetition(figure, plan.disturbed):
                yield figure, name, {**record, "repeat": repeat}
    for figure in plan.figures:
        if figure == "growth":
            yield figure, "", _child("bench.table_growth", str(plan.held), limit=TIMEOUT + 2 * plan.held)
        elif figure == "memory":
            yield figure, "idle", _child("bench.application_memory", "idle")
            yield figure, "streaming", _child("bench.application_memory", "streaming")


def _repetition(figure: str, disturbed: float) -> Iterator[tuple[str, Record]]:
    if module := MODULES.get(figure):
        yield "", _child(module)
        return
    for contender in contenders_for(figure):
        yield contender.name, _quietest(figure, contender, disturbed)


def _quietest(figure: str, contender: Contender, disturbed: float) -> Record:
    first = _measure(figure, contender)
    if _share_of_others(first) <= disturbed:
        return first
    second = _measure(figure, contender)
    return second if _share_of_others(second) < _share_of_others(first) or "failed" in first else first


def _share_of_others(record: Record) -> float:
    """Returns the highest share of the machine that other processes used."""
    if "failed" in record:
        return 1.0
    costs = [run["cost"] for run in record.get("runs", {}).values()] + [record["cost"]] if "cost" in record else []
    return max((cost["others"] for cost in costs), default=0.0)


def _measure(figure: str, contender: Contender) -> Record:
    if not contender.python.exists():
        return {"skipped": f"{contender.python} is not there"}
    options = {"is_slow": contender.slow}
    command = [
        str(contender.python),
        "-m",
        "bench.measure_contender",
        figure,
        contender.adapter,
        contender.variant,
        json.dumps(options),
    ]
    return _run_and_parse(command, TIMEOUT)


def _child(module: str, *arguments: str, limit: float = TIMEOUT) -> Record:
    return _run_and_parse([str(PYTHON), "-m", module, *arguments], limit)


def _run_and_parse(command: list[str], limit: float) -> Record:
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=child_environment(), capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no end within {limit:.0f} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        return {"failed": done.stderr.strip()[-2000:]}
    record: Record = json.loads(lines[-1])
    return {**record, "took": round(time.monotonic() - began, 1)}


def load_records() -> list[Record]:
    if not RECORDS.exists():
        return []
    return [json.loads(line) for line in RECORDS.read_text().splitlines()]


def store_records(records: list[Record]) -> None:
    RECORDS.write_text("".join(json.dumps(record) + "\n" for record in records))
