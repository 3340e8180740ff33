"""Measures the memory of the application: `python -m bench.application_memory PART` prints a record.

PART `idle` is the process tree of `manage.py run` without PostgreSQL, before the first document and after it.
`streaming` is the memory that 200 concurrent streaming model steps add to `manage.py work`. Memory is PSS: a shared
page counts by its share.
"""

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from bench import application, run_environment
from bench.resource_usage import process_tree

STREAMS = 200
CHUNKS_A_SECOND = 10
SAMPLE = run_environment.ROOT / "jobs" / "sample_documents" / "quarterly-sales-report.pdf"
HOME = run_environment.BASE / "run"
START_SECONDS = 120
SETTLE_SECONDS = 15
STREAM_SECONDS = 20


def pss_mb(processes: list[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            total += process.memory_full_info().pss / 1e6
    return total


def without_postgres(pid: int) -> list[psutil.Process]:
    found = []
    for process in process_tree([pid]):
        with suppress(psutil.NoSuchProcess):
            command = " ".join(process.cmdline())
            is_server = command.startswith("postgres:") or "bin/postgres" in command
            if not is_server and "ops.postgres_manager" not in command:
                found.append(process)
    return found


def by_process(processes: list[psutil.Process]) -> dict[str, float]:
    found = {}
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            command = " ".join(part.rsplit("/", 1)[-1] for part in process.cmdline()[1:4])
            found[f"{process.pid} {command[-60:]}"] = round(pss_mb([process]), 1)
    return found


def _environment(**settings: str) -> dict[str, str]:
    return run_environment.child_environment(ENV_FILE="", DATA_DIR=str(HOME), **settings)


@contextmanager
def running(port: int) -> Iterator[int]:
    """Runs `manage.py run` as shipped, and yields its process id when it reports that it is ready."""
    command = [str(run_environment.PYTHON), "manage.py", "run"]
    process = subprocess.Popen(
        command,
        cwd=run_environment.ROOT,
        env=_environment(PORT=str(port)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        _await_ready(process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


def _await_ready(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    said = b""
    deadline = time.monotonic() + START_SECONDS
    while b"eady" not in said:
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError(f"manage.py run: {said.decode(errors='replace')}")
        if select.select([process.stdout], [], [], 0.5)[0]:
            said += os.read(process.stdout.fileno(), 4096)


def idle() -> dict[str, Any]:
    """Measures at the second start, because the first one submits the sample documents."""
    shutil.rmtree(HOME, ignore_errors=True)
    with running(_free_port()):
        time.sleep(SETTLE_SECONDS)
    with running(_free_port()) as pid:
        time.sleep(SETTLE_SECONDS)
        processes = without_postgres(pid)
        before, parts_before = pss_mb(processes), by_process(processes)
        ingest = [str(run_environment.PYTHON), "manage.py", "ingest", str(_changed(SAMPLE))]
        subprocess.run(ingest, cwd=run_environment.ROOT, env=_environment(), check=True, capture_output=True)
        time.sleep(SETTLE_SECONDS)
        processes = without_postgres(pid)
        after, parts_after = pss_mb(processes), by_process(processes)
    return {"before_mb": before, "after_mb": after, "before": parts_before, "after": parts_after}


def _changed(path: Path) -> Path:
    copy = run_environment.BASE / f"another-{path.name}"
    shutil.copy(path, copy)
    return copy


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def model_server(port: int) -> Iterator[None]:
    command = [str(run_environment.PYTHON), "-m", "tests.servers.model_server", "--port", str(port)]
    server = subprocess.Popen(
        command, cwd=run_environment.ROOT, env=run_environment.child_environment(), stdout=subprocess.DEVNULL
    )
    try:
        time.sleep(2)
        yield
    finally:
        server.kill()
        server.wait()


def streaming() -> dict[str, Any]:
    """Measures two runners: memory without streams and with 200, CPU of a chunk, and time between heartbeats."""
    adapter = application.Application("")
    adapter.prepare()
    adapter.connect()
    port = _free_port()
    settings = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": "none"}
    with model_server(port), (run_environment.BASE / "workers.log").open("ab") as log:
        command = [str(run_environment.PYTHON), str(run_environment.ROOT / "manage.py"), "work"]
        work = subprocess.Popen(
            command, cwd=run_environment.ROOT, env=application.environment(**settings), stdout=log, stderr=log
        )
        try:
            return _streamed(work.pid, adapter.owner)
        finally:
            work.terminate()
            work.wait(60)


def _streamed(pid: int, owner: int) -> dict[str, Any]:
    from workflows.models import WorkflowStep

    _start_streams(owner, 8, "test-model")
    _wait_for(lambda: WorkflowStep.objects.filter(status="completed").count() == 8)
    time.sleep(SETTLE_SECONDS)
    base = pss_mb(process_tree([pid]))
    _start_streams(owner, STREAMS, f"slow-{CHUNKS_A_SECOND}")
    _wait_for(lambda: WorkflowStep.objects.filter(status="running").count() == STREAMS)
    time.sleep(3)
    cpu = _cpu_seconds(pid)
    gaps = _beat_gaps(STREAM_SECONDS)
    used = _cpu_seconds(pid) - cpu
    most = pss_mb(process_tree([pid]))
    is_running = WorkflowStep.objects.filter(status="running").count()
    from aiworkstation.audit.models import AuditEvent

    return {
        "streams": is_running,
        "base_mb": base,
        "mb_each": (most - base) / STREAMS,
        "cpu_share": used / STREAM_SECONDS,
        "us_a_chunk": used * 1e6 / (STREAM_SECONDS * STREAMS * CHUNKS_A_SECOND),
        "longest_gap": max(gaps),
        "leases_lost": AuditEvent.objects.filter(action="step.lease_lost").count(),
    }


def _start_streams(owner: int, number: int, model: str) -> None:
    from workflows import engine
    from workflows.steps import NewExecution, NewStep

    for each in range(number):
        step = NewStep("Speak", description="Say something.")
        engine.start(NewExecution(owner, "workflow", f"stream {each}", [step], model_id=model), actor="bench")


def _cpu_seconds(pid: int) -> float:
    total = 0.0
    for process in process_tree([pid]):
        with suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system
    return total


def _beat_gaps(seconds: float) -> list[float]:
    """Returns the seconds between heartbeats of each process in the database. One is due every 5, the lease is 30."""
    from workflows.models import Worker

    beats: dict[Any, list[Any]] = {}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for key, beat in Worker.objects.filter(kind="runner").values_list("pk", "last_beat"):
            seen = beats.setdefault(key, [beat])
            if seen[-1] != beat:
                seen.append(beat)
        time.sleep(0.25)
    pairs = [pair for seen in beats.values() for pair in pairwise(seen)]
    return [(later - earlier).total_seconds() for earlier, later in pairs]


def _wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the streams did not start")
        time.sleep(0.1)


if __name__ == "__main__":
    part = {"idle": idle, "streaming": streaming}[sys.argv[1]]
    print(json.dumps(part()), flush=True)
