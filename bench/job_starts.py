"""Measures how fast one process starts jobs, without workers: `python -m bench.job_starts` prints a record."""

import json
import time
from typing import Any

from bench.application import Application, new_execution

JOBS = 1000
DOCUMENTS = 10_000


def main() -> dict[str, Any]:
    application = Application("")
    application.prepare()
    application.connect()
    from workflows import engine
    from workflows.steps import NewExecution, NewStep

    for number in range(50):
        engine.start(new_execution(number, 10, application.owner), actor="bench")
    began = time.perf_counter()
    for number in range(JOBS):
        engine.start(new_execution(number, 10, application.owner), actor="bench")
    per_second = JOBS / (time.perf_counter() - began)
    steps = [NewStep(f"document-{n}.pdf", tool="BENCH_NOOP", arguments={"number": n}) for n in range(DOCUMENTS)]
    began = time.perf_counter()
    engine.start(NewExecution(application.owner, "bulk-documents", "bulk", steps, queue="low"), actor="bench")
    return {"per_second": per_second, "bulk_seconds": time.perf_counter() - began}


if __name__ == "__main__":
    print(json.dumps(main()), flush=True)
