"""How fast one process starts jobs, with no worker there: `python -m bench.starting` prints a record."""

import json
import time
from typing import Any

from bench.ours import Ours, new_execution

JOBS = 1000
DOCUMENTS = 10_000


def main() -> dict[str, Any]:
    ours = Ours("")
    ours.prepare()
    ours.connect()
    from workflows import engine
    from workflows.steps import NewExecution, NewStep

    for number in range(50):
        engine.start(new_execution(number, 10, ours.owner), actor="bench")
    began = time.perf_counter()
    for number in range(JOBS):
        engine.start(new_execution(number, 10, ours.owner), actor="bench")
    per_second = JOBS / (time.perf_counter() - began)
    steps = [NewStep(f"document-{n}.pdf", tool="BENCH_NOOP", arguments={"number": n}) for n in range(DOCUMENTS)]
    began = time.perf_counter()
    engine.start(NewExecution(ours.owner, "bulk-documents", "bulk", steps, queue="low"), actor="bench")
    return {"per_second": per_second, "bulk_seconds": time.perf_counter() - began}


if __name__ == "__main__":
    print(json.dumps(main()), flush=True)
