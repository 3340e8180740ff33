"""Measures what the confinement of children costs: `python bench/sandbox_cost.py CORPUS [--rounds N] [--files N]`.

Two fork servers run side by side: one as shipped, one whose children are not confined. Each file is read by one and
then by the other, in turn, and so are children that do nothing. Each round gives a ratio of the times for all files.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from workflows.errors import ChildCrashed, ChildFailed
from workflows.worker.sandbox.client import Sandbox
from workflows.worker.sandbox.confinement import ChildFiles, missing

READ = "documents.reading.pipeline:read_in_child"
NOTHING = "bench.sandbox_cost:do_nothing"
MEMORY, SECONDS = 768 << 20, 120
CHILDREN = 100
"""How many children of each kind a round starts."""


class Unconfined(Sandbox):
    server_module = "bench.unconfined_server"


def do_nothing(arguments: dict[str, str], report: object) -> None:
    """What a child does whose start is measured."""


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="a folder of documents")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=60, help="about how many of its files, evenly spread")
    options = parser.parse_args()
    found = sorted(path for path in options.corpus.rglob("*") if path.is_file() and path.suffix != ".md")
    files = found[:: max(1, len(found) // options.files)]
    if lacking := missing():
        print(f"This kernel has no {', '.join(lacking)}: the figures are too good.")
    confined, free = Sandbox(memory=MEMORY, seconds=SECONDS), Unconfined(memory=MEMORY, seconds=SECONDS)
    try:
        for sandbox in (confined, free):  # imports the parsers
            await read(files[0], sandbox)
        readings, starts = [], []
        for number in range(options.rounds):
            order = (confined, free) if number % 2 else (free, confined)
            readings.append(await in_turn(order, [partial(read, file) for file in files]))
            starts.append(await in_turn(order, [start] * CHILDREN))
            reading = readings[-1][confined] / readings[-1][free]
            more = (starts[-1][confined] - starts[-1][free]) / CHILDREN * 1000
            print(f"round {number + 1}: reading × {reading:.3f}, a child + {more:.2f} ms", flush=True)
    finally:
        confined.close()
        free.close()
    reading = median(each[confined] / each[free] for each in readings)
    more = median((each[confined] - each[free]) / CHILDREN * 1000 for each in starts)
    print(f"{len(files)} files: reading × {reading:.3f} (at most 1.05), starting a child + {more:.2f} ms (at most 3)")


async def in_turn(
    order: Sequence[Sandbox], calls: Sequence[Callable[[Sandbox], Awaitable[None]]]
) -> dict[Sandbox, float]:
    """Returns the seconds that each sandbox takes for all calls. They take turns, call by call."""
    seconds = dict.fromkeys(order, 0.0)
    for call in calls:
        for sandbox in order:
            began = time.perf_counter()
            await call(sandbox)
            seconds[sandbox] += time.perf_counter() - began
    return seconds


async def start(sandbox: Sandbox) -> None:
    await sandbox.run(NOTHING, {})


async def read(path: Path, sandbox: Sandbox) -> None:
    with tempfile.TemporaryDirectory() as folder:
        output = str(Path(folder) / "document.json")
        arguments = {"path": str(path), "filename": path.name, "chunkSize": 500, "overlap": 100, "output": output}
        with suppress(ChildFailed, ChildCrashed):  # bad documents, which both sandboxes refuse
            await sandbox.run(READ, {**arguments, "members": folder}, files=ChildFiles((str(path),), folder))


if __name__ == "__main__":
    asyncio.run(main())
