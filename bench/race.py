"""The measurements of a run, interleaved: everybody once, and then again."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.field import Entry, taking_part
from bench.place import PYTHON, RECORDS, ROOT, environment

Record = dict[str, Any]
FIGURES = ("limits", "steps", "pickup", "plain", "starting", "growth", "memory")
ONCE = {"growth", "memory"}
TIMEOUT = 1200


@dataclass(frozen=True, slots=True)
class Plan:
    """`held` are the seconds of the long transaction; a record is measured once more where others used more of the
    machine than `disturbed`.
    """

    figures: tuple[str, ...]
    repeats: int
    held: float
    disturbed: float


def run(plan: Plan) -> Iterator[tuple[str, str, Record]]:
    """Figure, contestant and record, as they come."""
    for repeat in range(plan.repeats):
        for figure in plan.figures:
            if figure in ONCE:
                continue
            for name, record in _once(figure, plan.disturbed):
                yield figure, name, {**record, "repeat": repeat}
    for figure in plan.figures:
        if figure == "growth":
            yield figure, "", _child("bench.growth", str(plan.held), limit=TIMEOUT + 2 * plan.held)
        elif figure == "memory":
            yield figure, "idle", _child("bench.memory", "idle")
            yield figure, "streaming", _child("bench.memory", "streaming")


def _once(figure: str, disturbed: float) -> Iterator[tuple[str, Record]]:
    if figure in ("limits", "starting"):
        yield "", _child(f"bench.{figure}")
        return
    for entry in taking_part(figure):
        yield entry.name, _quietest(figure, entry, disturbed)


def _quietest(figure: str, entry: Entry, disturbed: float) -> Record:
    first = _measure(figure, entry)
    if _others(first) <= disturbed:
        return first
    second = _measure(figure, entry)
    return second if _others(second) < _others(first) or "failed" in first else first


def _others(record: Record) -> float:
    """The share of the machine that strangers used, at most."""
    if "failed" in record:
        return 1.0
    costs = [run["cost"] for run in record.get("runs", {}).values()] + [record["cost"]] if "cost" in record else []
    return max((cost["others"] for cost in costs), default=0.0)


def _measure(figure: str, entry: Entry) -> Record:
    if not entry.python.exists():
        return {"skipped": f"{entry.python} is not there"}
    options = {"is_slow": entry.slow}
    command = [str(entry.python), "-m", "bench.measure", figure, entry.adapter, entry.variant, json.dumps(options)]
    return _record(command, TIMEOUT)


def _child(module: str, *arguments: str, limit: float = TIMEOUT) -> Record:
    return _record([str(PYTHON), "-m", module, *arguments], limit)


def _record(command: list[str], limit: float) -> Record:
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no end within {limit:.0f} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        return {"failed": done.stderr.strip()[-2000:]}
    record: Record = json.loads(lines[-1])
    return {**record, "took": round(time.monotonic() - began, 1)}


def kept() -> list[Record]:
    if not RECORDS.exists():
        return []
    return [json.loads(line) for line in RECORDS.read_text().splitlines()]


def keep(records: list[Record]) -> None:
    RECORDS.write_text("".join(json.dumps(record) + "\n" for record in records))


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {names[0] if names else 'unknown'}"
