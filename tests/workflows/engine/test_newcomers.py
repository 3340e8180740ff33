"""A worker whose slots are all taken, and a new user: with `manage.py work` and real documents.

Slow because of a thousand documents.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.fixtures import Settings

from jobs.start import start as start_job
from tests.support.documents import upload_many
from tests.support.processes import manage, wait_for
from tests.workflows.conftest import Start
from tests.workflows.engine.test_fairness import start_for
from tests.workflows.worker.test_runner import lines
from tests.workflows.worker.test_work import ended
from workflows.models import Mode, Worker, WorkflowExecution, WorkflowStep
from workflows.steps import NewStep
from workflows.worker.capacity import SlotSizes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

DOCUMENTS = 1000
A_MOMENT = 100
"""Documents: a tenth of the bulk job, which takes more than a second."""
KINDS = {"async": "PROBE_SLEEP", "thread": "PROBE_BLOCK", "process": "PROBE_CHILD"}
SLOTS = {"async": SlotSizes().coroutines, "thread": SlotSizes().threads, "process": os.cpu_count() or 1}
"""Slots of the only runner."""


@pytest.fixture
def bulk(alice: User, settings: Settings, tmp_path: Path) -> WorkflowExecution:
    settings.MEDIA_ROOT = tmp_path / "uploads"
    Mode.objects.get_or_create(name="General")  # which an earlier test's flush took away
    documents = upload_many(alice, (f"Note {number}: the kettle sings." for number in range(DOCUMENTS)))
    payload = {"documents": [{"id": document.client_id} for document in documents]}
    return start_job(alice, {"jobType": "bulk-documents", "payload": payload})[0]


@pytest.fixture
def fill(start: Start) -> Callable[..., None]:
    """Fills every slot of these kinds with steps of alice that do not end."""

    def fill(*kinds: str) -> None:
        for kind in kinds:
            steps = [NewStep(f"long {kind}", tool=KINDS[kind], arguments={"seconds": 600}) for _ in range(SLOTS[kind])]
            start(*steps, max_parallel=len(steps))
        wait_for(lambda: long_steps() == sum(SLOTS[kind] for kind in kinds), what="the long steps run")
        assert Worker.objects.get().sizes == SLOTS | {"alone": SlotSizes().alone}

    return fill


def long_steps() -> int:
    return WorkflowStep.objects.filter(name__startswith="long", status="running").count()


def begins(user: User, kind: str, ledger: Path) -> WorkflowStep:
    """Runs a workflow of one step that needs such a slot. Returns the finished step."""
    name = f"new-{kind}"
    execution = start_for(user, NewStep(name, tool=KINDS[kind], arguments={}))
    asked = time.time()
    found = wait_for(lambda: [line for line in lines(ledger, "start") if line[1] == name], what=f"{name} begins")
    print(f"{name} began after {float(found[0][4]) - asked:.2f} s")
    return ended(execution).steps.get()


def read_meanwhile(bulk: WorkflowExecution, newcomer: WorkflowStep) -> int:
    """Documents whose reading ended between the newcomer's request and its first step."""
    between = (newcomer.execution.created_at, newcomer.started_at)
    return bulk.steps.filter(status="completed", finished_at__range=between).count()


def test_beside_a_bulk_job_of_a_thousand_documents(
    bulk: WorkflowExecution, fill: Callable[..., None], bob: User, ledger: Path, tmp_path: Path
) -> None:
    """Long steps take every slot that the newcomer does not need."""
    with manage("work", log=tmp_path / "log", WORKERS="1", DATA_DIR=str(tmp_path)):
        fill("async", "thread")
        wait_for(bulk.steps.filter(status="completed").exists, what="the first document")
        for kind in KINDS:
            meanwhile = read_meanwhile(bulk, begins(bob, kind, ledger))
            print(f"{meanwhile} documents were read meanwhile")
            assert meanwhile < A_MOMENT
        assert bulk.steps.filter(status="ready").exists()
        assert long_steps() == SLOTS["async"] + SLOTS["thread"]


def test_while_every_slot_is_taken_by_long_steps_of_one_user(
    bulk: WorkflowExecution, fill: Callable[..., None], bob: User, ledger: Path, tmp_path: Path
) -> None:
    """A thousand documents of that user wait for a slot too."""
    with manage("work", log=tmp_path / "log", WORKERS="1", DATA_DIR=str(tmp_path)):
        fill(*KINDS)
        for kind in KINDS:
            begins(bob, kind, ledger)
        assert long_steps() == sum(SLOTS.values())
