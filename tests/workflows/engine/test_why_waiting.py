"""`waitingFor`: why a job does not run."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django.fixtures import Settings

from tests.support.jobs import WORKER, claim, complete, complete_all, fail, start_job
from tests.support.turns import turn
from workflows.engine import why_waiting
from workflows.engine.outcomes import Outcome
from workflows.engine.pause import pause
from workflows.engine.turn import SCAN_OVERLAP
from workflows.engine.why_waiting import QueuePositions, waiting_for
from workflows.errors import TryLater
from workflows.models import Worker, WorkflowExecution, WorkflowStep

AddWorker = Callable[..., Worker]


def sentence(execution: WorkflowExecution) -> str:
    execution.refresh_from_db()
    return waiting_for([execution]).get(execution.pk, "")


@pytest.fixture
def add_worker(db: None) -> AddWorker:
    def add(**values: object) -> Worker:
        sizes = {"async": 4, "thread": 2, "process": 1}
        row = {"kind": "runner", "host": "here", "pid": 1, "slots": 7, "sizes": sizes, "last_beat": timezone.now()}
        return Worker.objects.create(**row | values)

    return add


def test_no_worker(alice: User, add_worker: AddWorker) -> None:
    add_worker(last_beat=timezone.now() - timedelta(seconds=31))
    add_worker(draining=True)
    add_worker(slots=0)
    assert sentence(start_job(alice)) == "No worker is running. Start one with `manage.py work`."


def test_its_place(alice: User, add_worker: AddWorker) -> None:
    add_worker()
    add_worker()
    start_job(alice, priority="low")
    start_job(alice, delaySeconds=60)
    jobs = [start_job(alice) for _ in range(2)]
    assert sentence(jobs[0]) == 'Number 1 in the queue "normal". 0 of 8 slots for such steps are busy.'
    assert sentence(jobs[1]) == 'Number 2 in the queue "normal". 0 of 8 slots for such steps are busy.'


def test_the_queue_is_read_from_its_first_message(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """Now and then it is read from the beginning: a long transaction may store an execution that is due earlier."""
    first, second = (start_job(alice) for _ in range(2))
    assert first.wake_at
    assert second.wake_at
    positions = QueuePositions()
    assert positions.find([second.pk]) == {second.pk: 2}
    assert positions.since == first.wake_at - timedelta(seconds=SCAN_OVERLAP)
    claim(first.pk)
    assert positions.find([second.pk]) == {second.pk: 1}
    assert positions.since == second.wake_at - timedelta(seconds=SCAN_OVERLAP)
    late = start_job(alice)
    WorkflowExecution.objects.filter(pk=late.pk).update(wake_at=second.wake_at - timedelta(seconds=5))
    assert positions.find([second.pk, late.pk]) == {second.pk: 1}
    monkeypatch.setattr(why_waiting, "FULL_SCAN_EVERY", 0.0)
    assert positions.find([second.pk, late.pk]) == {second.pk: 2, late.pk: 1}
    assert positions.since < second.wake_at - timedelta(seconds=2 * SCAN_OVERLAP)


def test_an_empty_queue_has_no_first_message(alice: User) -> None:
    positions = QueuePositions()
    assert positions.find([]) == {}
    job = start_job(alice)
    assert positions.find([job.pk]) == {job.pk: 1}


def test_other_kinds_of_slots_do_not_matter(alice: User, add_worker: AddWorker) -> None:
    """Steps of workers that are gone do not matter either."""
    worker = add_worker(id=WORKER.id, sizes={"async": 2, "thread": 1, "process": 1})
    for slot, number in (("async", 1), ("thread", 2)):
        for _ in range(number):
            (taken,) = claim(start_job(alice).pk)
            WorkflowStep.objects.filter(pk=taken.step_id).update(slot=slot)
    (gone,) = claim(start_job(alice).pk)
    WorkflowStep.objects.filter(pk=gone.step_id).update(worker=uuid4())
    model, document, function = (start_job(alice) for _ in range(3))
    WorkflowExecution.objects.filter(pk=document.pk).update(next_slot="process")
    WorkflowExecution.objects.filter(pk=function.pk).update(next_slot="thread")
    assert sentence(document) == 'Number 1 in the queue "normal". 0 of 1 slots for such steps are busy.'
    assert sentence(model) == 'Number 1 in the queue "normal". 1 of 2 slots for such steps are busy.'
    # One more than there are: a newcomer's.
    assert sentence(function) == 'Number 1 in the queue "normal". 1 of 1 slots for such steps are busy.'
    worker.sizes = {}  # of an earlier release
    worker.save()
    assert sentence(model) == 'Number 1 in the queue "normal".'


def test_a_pause(alice: User, add_worker: AddWorker) -> None:
    add_worker()
    job, later = start_job(alice), start_job(alice, delaySeconds=60)
    pause(actor="olga", reason="a deploy")
    assert sentence(job).startswith("All work is paused since 20")
    assert "by olga: a deploy" in sentence(job)
    assert sentence(later).startswith('"One" starts at 20')


def test_a_tool_that_nobody_has(alice: User, add_worker: AddWorker) -> None:
    add_worker()
    job = start_job(alice)
    job.steps.update(tool="GONE")
    assert sentence(job) == '"One" needs the tool GONE, which is not installed. Add its application to EXTRA_APPS.'


def test_a_tool_that_no_machine_can_run(alice: User, add_worker: AddWorker) -> None:
    add_worker(lacks={"PROBE_SLEEP": "It has no bed."})
    job = start_job(alice)
    job.steps.update(tool="PROBE_SLEEP")
    assert sentence(job) == 'No running worker can run "One". It has no bed.'
    add_worker()
    assert sentence(job).startswith("Number 1")


def test_higher_queues_are_served_first(alice: User, add_worker: AddWorker) -> None:
    add_worker()
    job = start_job(alice)
    start_job(alice, priority="high")
    assert sentence(job).startswith('Number 2 in the queue "normal"')


def test_a_job_between_two_steps(alice: User, add_worker: AddWorker) -> None:
    add_worker()
    execution = start_job(alice)
    (first,) = claim(execution.pk)
    assert sentence(execution) == ""
    complete(first)
    assert sentence(execution).startswith("Number 1")


def test_a_delayed_start(alice: User) -> None:
    assert sentence(start_job(alice, delaySeconds=60)).startswith('"One" starts at 20')


def test_the_next_attempt(alice: User) -> None:
    execution = start_job(alice)
    fail(claim(execution.pk)[0], "it was busy", retryable=True)
    words = sentence(execution)
    assert words.startswith('"One" is retried at 20')
    assert words.endswith(", after: it was busy")


def test_a_providers_cool_down(alice: User) -> None:
    execution = start_job(alice)
    busy = TryLater("model-x is busy and rests for 30 s", code="cooldown", delay=30, cooldown="model:x")
    turn(WORKER, [Outcome.waiting(claim(execution.pk)[0], busy, busy.delay)], [])
    words = sentence(execution)
    assert words.startswith('"One" is retried at 20')
    assert words.endswith(", after: model-x is busy and rests for 30 s")


def test_an_answer_from_outside(alice: User) -> None:
    execution = start_job(alice)
    WorkflowStep.objects.filter(index=0).update(status="waiting", ready_at=None)
    WorkflowExecution.objects.update(status="waiting")
    assert sentence(execution) == '"One" is waiting for an outside answer.'


class TestLostWorkers:
    @pytest.fixture
    def lose(self) -> Callable[..., None]:
        """Makes the last sign of life of all running steps' workers older, in seconds."""

        def lose(silence: float, **steps: object) -> None:
            lease_until = timezone.now() + timedelta(seconds=30 - silence)
            WorkflowStep.objects.filter(status="running", **steps).update(lease_until=lease_until)
            WorkflowExecution.objects.update(changed_at=timezone.now() - timedelta(seconds=silence))

        return lose

    def test_a_worker_is_silent(self, alice: User, add_worker: AddWorker, lose: Callable[..., None]) -> None:
        add_worker()
        execution = start_job(alice)
        claim(execution.pk)
        lose(14)
        assert sentence(execution) == ""
        lose(16)
        words = sentence(execution)
        assert words.startswith('The worker of "One" has not responded since 20')
        assert ". If it does not by 20" in words
        assert words.endswith("the step starts again on another worker.")

    def test_no_worker_is_left(self, alice: User, add_worker: AddWorker, lose: Callable[..., None]) -> None:
        add_worker(last_beat=timezone.now() - timedelta(seconds=16))
        execution = start_job(alice)
        claim(execution.pk)
        lose(16)
        assert sentence(execution).endswith(" No worker is running. Start one with `manage.py work`.")
        lose(3600)
        words = sentence(execution)
        assert "Its lease ended at 20" in words
        assert words.endswith(" No worker is running. Start one with `manage.py work`.")
        pause(actor="olga")
        assert "All work is paused" in sentence(execution)

    def test_one_of_several_is_at_work(self, alice: User, add_worker: AddWorker, lose: Callable[..., None]) -> None:
        add_worker()
        one, other = start_job(alice), start_job(alice)
        claim(one.pk)
        (lost,) = claim(other.pk)
        lose(20, pk=lost.step_id)
        assert sentence(one) == ""
        assert "has not responded" in sentence(other)
        WorkflowStep.objects.filter(pk=lost.step_id).update(execution=one, index=9, lane=2)
        WorkflowExecution.objects.filter(pk=one.pk).update(steps_running=2)
        assert sentence(one) == ""

    def test_the_lease_says_how_often_a_worker_gives_signs_of_life(
        self, alice: User, add_worker: AddWorker, settings: Settings
    ) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"lease_seconds": 600})
        add_worker(last_beat=timezone.now() - timedelta(seconds=120))
        assert sentence(start_job(alice)).startswith("Number 1")


def test_nothing(alice: User) -> None:
    running, finished = start_job(alice), start_job(alice)
    claim(running.pk)
    complete_all(finished)
    assert (sentence(running), sentence(finished)) == ("", "")
