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
LEASE = 6
BEAT = LEASE / 6


def test_leases_are_renewed_beside_two_hundred_streams(start: Start, ledger: Path, tmp_path: Path) -> None:
    """Not even while a document is read beside them, which takes a whole processor."""
    execution = start(*side_by_side(STREAMS), max_parallel=STREAMS, model_id="test-model")
    reading = start(NewStep("r", tool="PROBE_CHILD", arguments={"function": "burn", "seconds": 8}))
    log = tmp_path / "log"
    running = WorkflowStep.objects.filter(execution=execution, status="running")
    most, shortest, gaps = 0, float(LEASE), [0.0]
    with (
        streaming(streams=STREAMS, per_second=10, seconds=8) as url,
        manage("work", log=log, WORKERS="1", LEASE_SECONDS=str(LEASE), OPENAI_BASE_URL=url, OPENAI_API_KEY="none"),
    ):
        worker = wait_for(Worker.objects.first, what="the worker")
        beat = worker.last_beat
        until = time.monotonic() + 120
        while not execution.is_finished and time.monotonic() < until:
            most = max(most, running.count())
            left = running.aggregate(left=Min("lease_until") - Now())["left"]
            shortest = min(shortest, left.total_seconds() if left else LEASE)
            worker.refresh_from_db()
            gaps.append((worker.last_beat - beat).total_seconds())
            beat = worker.last_beat
            execution.refresh_from_db()
            time.sleep(0.1)
        ended(reading)
    assert (execution.status, reading.status) == ("completed", "completed"), log.read_text()[-3000:]
    assert most == STREAMS
    assert max(gaps) < 2 * BEAT, f"a beat is missing: {max(gaps):.2f} s between two"
    assert shortest > LEASE / 2, f"a lease had only {shortest:.2f} s left"
    lost = AuditEvent.objects.filter(action__in=["step.lease_lost", "step.returned", "step.retry_scheduled"])
    assert not lost.exists()
