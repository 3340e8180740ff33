"""A verb that refuses changes nothing: no row, no message, no audit event."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import Model
from django.utils import timezone
from django_q.models import OrmQ

from aiworkstation.audit.models import AuditEvent
from tests.support.turns import turn
from tests.workflows.conftest import Start
from tests.workflows.engine.test_verbs import take
from workflows import engine
from workflows.engine.claims import Claim, ClaimedStep
from workflows.engine.outcomes import Outcome
from workflows.engine.outside_answers import Answer
from workflows.engine.turn import WorkerInfo
from workflows.errors import StepError
from workflows.models import StepStatus, WorkflowExecution, WorkflowStep
from workflows.steps import NewStep

pytestmark = pytest.mark.django_db

NO = StepError("no", retryable=False)
Job = tuple[WorkflowExecution, list[Claim]]
Make = Callable[[Start, WorkerInfo], Job]


def everything() -> list[Any]:
    models: list[type[Model]] = [WorkflowExecution, WorkflowStep, OrmQ, AuditEvent]
    return [list(model._default_manager.order_by("pk").values()) for model in models]


def branches(start: Start, worker: WorkerInfo) -> Job:
    """Two branches that are running, one step behind each, and one that stands alone."""
    execution = start(
        NewStep("a"), NewStep("b"), NewStep("behind a", depends_on=[0]), NewStep("behind b", depends_on=[1])
    )
    return execution, [*take(worker), *take(worker)]


def running_with_a_failed_branch(start: Start, worker: WorkerInfo) -> Job:
    execution, (a, b) = branches(start, worker)
    turn(worker, [Outcome.failed(a, NO)], [])
    return execution, [b]


def queued(start: Start, worker: WorkerInfo) -> Job:
    return start(NewStep("a")), []


def waiting(start: Start, worker: WorkerInfo) -> Job:
    return start(NewStep("a"), delay=60), []


def finished(start: Start, worker: WorkerInfo) -> Job:
    execution, (a, b) = branches(start, worker)
    turn(worker, [Outcome.completed(a, 1), Outcome.completed(b, 1)], [])
    turn(worker, [Outcome.completed(claim, 1) for claim in [*take(worker), *take(worker)]], [])
    return execution, []


def ended_failed(start: Start, worker: WorkerInfo) -> Job:
    execution, (a, b) = branches(start, worker)
    turn(worker, [Outcome.failed(a, NO), Outcome.completed(b, 1)], [])
    turn(worker, [Outcome.completed(claim, 1) for claim in take(worker)], [])
    return execution, []


def cancelled(start: Start, worker: WorkerInfo) -> Job:
    execution, _ = branches(start, worker)
    engine.cancel(execution.pk, actor="alice")
    return execution, []


def with_errors(start: Start, worker: WorkerInfo) -> Job:
    execution = start(NewStep("a"), NewStep("b"), tolerates_failures=True)
    a, b = [*take(worker), *take(worker)]
    turn(worker, [Outcome.failed(a, NO), Outcome.completed(b, 1)], [])
    return execution, []


UNFINISHED = [running_with_a_failed_branch, queued, waiting]
FINISHED = [finished, ended_failed, cancelled, with_errors]


@pytest.mark.parametrize("make", [*UNFINISHED, finished])
def test_retry(start: Start, worker: WorkerInfo, make: Make) -> None:
    execution, _ = make(start, worker)
    before = everything()
    assert not engine.retry(execution.pk, actor="alice")
    assert everything() == before


@pytest.mark.parametrize("make", FINISHED)
def test_cancel_and_fail(start: Start, worker: WorkerInfo, make: Make) -> None:
    execution, _ = make(start, worker)
    before = everything()
    assert not engine.cancel(execution.pk, actor="alice")
    assert not engine.fail(execution.pk, {"code": "x", "message": "x", "retryable": False}, actor="alice")
    assert everything() == before


@pytest.mark.parametrize("make", FINISHED)
def test_a_finished_job_whose_row_contradicts_its_steps(start: Start, worker: WorkerInfo, make: Make) -> None:
    """Such a row comes from a defect. A verb must not make it worse."""
    execution, _ = make(start, worker)
    WorkflowStep.objects.filter(execution=execution, index=0).update(status="pending", ready_at=None)
    before = everything()
    assert not engine.cancel(execution.pk, actor="alice")
    assert everything() == before


@pytest.mark.parametrize("make", [*UNFINISHED, *FINISHED])
def test_an_answer_that_nobody_waits_for(start: Start, worker: WorkerInfo, make: Make) -> None:
    execution, _ = make(start, worker)
    step = WorkflowStep.objects.filter(execution=execution).earliest("index")
    before = everything()
    given = Answer(StepStatus.COMPLETED, timezone.now(), output=1)
    assert engine.answer(execution.pk, step.pk, given, actor="outside") == engine.Reception.REFUSED
    assert everything() == before


@pytest.mark.parametrize("make", [*UNFINISHED, *FINISHED])
def test_steps_added_without_the_token(start: Start, worker: WorkerInfo, make: Make) -> None:
    execution, _ = make(start, worker)
    step = WorkflowStep.objects.filter(execution=execution).earliest("index")
    before = everything()
    held = ClaimedStep(step.pk, uuid4())
    assert engine.add_steps(execution.pk, {"x": NewStep("x")}, within=held, actor="alice") == []
    assert everything() == before


@pytest.mark.parametrize("make", [*UNFINISHED, *FINISHED])
def test_what_nobody_needs(start: Start, worker: WorkerInfo, make: Make) -> None:
    _, claims = make(start, worker)
    before = everything()
    assert engine.reap() == 0
    assert engine.end_silence() == 0
    assert engine.sweep() == []
    assert engine.release_strays(worker.id, [claim.token for claim in claims], actor="x") == 0
    assert everything() == before
