"""Many model steps that stream at the same time."""

import time
from pathlib import Path

import pytest
from django.db.models import Min
from django.db.models.functions import Now

from aiworkstation.audit.models import AuditEvent
from tests.servers.streams import streaming
from tests.support.processes import manage, wait_for
from tests.workflows.conftest import Start, side_by_side
from tests.workflows.worker.test_work import ended
from workflows.models import Worker, WorkflowStep
from workflows.steps import NewStep

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

STREAMS = 200
LEASES = (12, 30)
"""Seconds. A machine that is busy with other tests has a second try, with a longer lease."""


def test_leases_are_renewed_beside_two_hundred_streams(start: Start, ledger: Path, tmp_path: Path) -> None:
    """Not even while a document is read beside them, which takes a whole processor.

    Slow because it watches several renewals.
    """
    found: list[str] = []
    for lease in LEASES:
        found = complaints(start, tmp_path / f"log-{lease}", lease)
        if not found:
            return
    pytest.fail("\n".join(found))


def complaints(start: Start, log: Path, lease: int) -> list[str]:
    beat, seconds = lease / 6, lease // 2
    Worker.objects.all().delete()  # of the first try, which was killed with its row
    execution = start(*side_by_side(STREAMS), max_parallel=STREAMS, model_id="test-model")
    reading = start(NewStep("r", tool="PROBE_CHILD", arguments={"function": "burn", "seconds": seconds}))
    running = WorkflowStep.objects.filter(execution=execution, status="running")
    workers, most, shortest, gaps = set(), 0, float(lease), [0.0]
    with (
        streaming(streams=STREAMS, per_second=2, seconds=seconds) as url,
        manage("work", log=log, WORKERS="1", LEASE_SECONDS=str(lease), OPENAI_BASE_URL=url, OPENAI_API_KEY="none"),
    ):
        last_beat = wait_for(Worker.objects.first, what="the worker").last_beat
        until = time.monotonic() + 120
        while not execution.is_finished and time.monotonic() < until:
            most = max(most, running.count())
            left = running.aggregate(left=Min("lease_until") - Now())["left"]
            shortest = min(shortest, left.total_seconds() if left else lease)
            if worker := Worker.objects.first():
                workers.add(worker.pk)
                gaps.append((worker.last_beat - last_beat).total_seconds())
                last_beat = worker.last_beat
            execution.refresh_from_db()
            time.sleep(0.1)
        ended(reading)
    lost = AuditEvent.objects.filter(
        execution_id=execution.pk, action__in=["step.lease_lost", "step.returned", "step.retry_scheduled"]
    )
    checks = {
        f"{execution.status} and {reading.status}, not completed: {log.read_text()[-3000:]}": (
            execution.status == reading.status == "completed"
        ),
        f"only {most} at the same time": most == STREAMS,
        f"a beat is missing: {max(gaps):.2f} s between two": max(gaps) < 2 * beat,
        f"a lease had only {shortest:.2f} s left": shortest > lease / 2,
        f"{len(workers)} workers, because the first was killed": len(workers) == 1,
        f"{lost.count()} steps were interrupted": not lost.exists(),
    }
    return [complaint for complaint, holds in checks.items() if not holds]
